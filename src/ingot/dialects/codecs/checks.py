"""What codecs say of a client's field that is missing or has another type than its own: an error that names it.

Decides nothing about which fields there are, and what they mean.
"""

from typing import Any, Final

from ingot.errors import InvalidRequest
from ingot.rawjson import kind_of

Json = dict[str, Any]

NUMBER: Final = (int, float)
_KINDS: Final[dict[Any, str]] = {
    str: "a string",
    int: "an integer",
    NUMBER: "a number",
    bool: "a boolean",
    list: "an array",
    dict: "an object",
}


def objects(value: Any, *, path: str) -> list[Json]:
    """A list of objects."""
    if type(value) is not list:
        raise wrong(value, list, path=path)
    for index, each in enumerate(value):
        if type(each) is not dict:
            raise wrong(each, dict, path=f"{path}[{index}]")
    return value


def wrong(held: Any, kind: Any, *, path: str) -> InvalidRequest:
    """The error for a field of another type than its own."""
    return InvalidRequest(
        f"Invalid type for '{path}': expected {_KINDS[kind]}, but got {kind_of(held)}.",
        param=path,
        code="invalid_type",
    )


def missing(path: str, *, expected: str) -> InvalidRequest:
    """The error for a field that must be there."""
    return InvalidRequest(
        f"Missing required parameter: '{path}'. It must be {expected}.",
        param=path,
        code="missing_required_parameter",
    )
