"""multi-model-server's exception."""


class PredictionException(Exception):
    """Raised by a script to answer with a status and a message."""

    def __init__(self, message, error_code=500):
        super().__init__(message)
        self.message, self.error_code = message, error_code

    def __str__(self):
        return f"{self.message} : {self.error_code}"
