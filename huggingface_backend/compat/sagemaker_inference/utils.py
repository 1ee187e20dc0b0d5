"""SageMaker's helpers."""

import re
from pathlib import Path

CONTENT_TYPE_REGEX = re.compile("[Cc]ontent-?[Tt]ype")


def read_file(path, mode="r"):
    """A file's content."""
    with Path(path).open(mode) as file:
        return file.read()


def write_file(path, data, mode="w"):
    """Write a file."""
    with Path(path).open(mode) as file:
        file.write(data)


def retrieve_content_type_header(request_property):
    """The Content-Type among headers, in any of its spellings; None without one."""
    return next((value for key, value in request_property.items() if CONTENT_TYPE_REGEX.match(key)), None)


def parse_accept(accept):
    """The parts of an Accept header, without spaces."""
    return accept.replace(" ", "").split(",")


def remove_crlf(illegal_string):
    """The text with a space for each line break."""
    return illegal_string.replace("\r", " ").replace("\n", " ")
