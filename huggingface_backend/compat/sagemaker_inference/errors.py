"""SageMaker's exceptions."""


class UnsupportedFormatError(Exception):
    """A content type that is neither read nor written."""

    def __init__(self, content_type, **kwargs):
        self._message = (
            f"Content type {content_type} is not supported by this framework. Implement input_fn to read it, "
            "or output_fn to write it."
        )
        super().__init__(self._message, **kwargs)


class BaseInferenceToolkitError(Exception):
    """Raised by a script to answer with a status, a message and a reason phrase."""

    def __init__(self, status_code, message, phrase):
        super().__init__(status_code, message, phrase)
        self.status_code, self.message, self.phrase = status_code, message, phrase


class GenericInferenceToolkitError(BaseInferenceToolkitError):
    """The same with a message and phrase that may be left out."""

    def __init__(self, status_code, message=None, phrase=None):
        message = message or "Invalid Request"
        super().__init__(status_code, message, phrase or message)
