"""Modules named like the server's own packages are the user's here."""

import model
import utils

import converters
import server


def output_fn(prediction, accept):
    return {"server": server.WHOSE, "converters": converters.WHOSE, "model": model.WHOSE, "utils": utils.WHOSE}
