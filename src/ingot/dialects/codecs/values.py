"""Readings of values that all codecs share: texts, data URLs, and what a target says went wrong.

Decides nothing about where in a dialect they stand.
"""

from collections.abc import Callable
from typing import Any, Final

from ingot.canonical import Failure, File
from ingot.dialects.cuts import dump, load, mend_all

BASE64: Final = ";base64,"


def filename_of(part: File) -> str | None:
    """What a file of OpenAI's dialects goes by; servers want a name with its data, and a title is one."""
    return part.title if part.filename is None and part.data is not None else part.filename


def text_of(value: Any) -> str | None:
    """A text, or None for anything else."""
    return value if type(value) is str else None


def cut_data_url(url: str | None) -> tuple[str | None, str | None]:
    """The media type and the base64 text of a plain data URL; any other has neither."""
    if url is None or not url.startswith("data:"):
        return None, None
    head, found, data = url.partition(BASE64)
    media_type = head[len("data:") :]
    return (media_type, data) if found and media_type and ";" not in media_type else (None, None)


def failure_of(error: Any, code: Callable[[dict[str, Any]], Any]) -> Failure:
    """An error in any of the shapes that servers write; `code` finds the code in an object."""
    if type(error) is not dict:
        return Failure(message=error if type(error) is str else dump(error).decode())
    message, told = error.get("message"), code(error)
    return Failure(
        message=message if type(message) is str else dump(error).decode(),
        type=text_of(error.get("type")),
        code=None if told is None else str(told),
        param=text_of(error.get("param")),
    )


def error_in(body: bytes, decode_failure: Callable[[Any], Failure]) -> Failure:
    """What an error body says; the body itself where it is no JSON."""
    try:
        value = mend_all(load(body))
    except ValueError:
        return Failure(message=body.decode("utf-8", "replace"))
    error = value.get("error") if type(value) is dict else None
    return decode_failure(value if error is None else error)
