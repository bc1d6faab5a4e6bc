"""The requests of a batch as they come: in an array, or as the lines of a file.

    {"custom_id": ..., "params": {...}}                                        in `requests`, for OpenAI's clients and Anthropic's
    {"custom_id": ..., "method": "POST", "url": ..., "body": {...}}            a line of a file

Finds the name and the body of each, whose bytes stay as they came. What a body may say is the dialect's business. Raises
errors that name a place from the request's own top on: who knows where it stands puts that before (`placed`).
"""

import re
from collections.abc import Collection
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from ingot.dialects.complaint import complain
from ingot.errors import ApiError, InvalidRequest
from ingot.rawjson import clip, kind_of

NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
LONGEST_NAME: Final = 512
"""Characters of a name in a file, which may have any."""


class Named(Struct, frozen=True, gc=False):
    """A request's name and its body's bytes."""

    custom_id: str
    body: bytes


class _Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    custom_id: str
    params: Raw


class _Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    custom_id: Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
    method: Literal["POST"]
    url: str
    body: Raw


_request: Final = msgspec.json.Decoder(_Request)
_line: Final = msgspec.json.Decoder(_Line)
_any: Final = msgspec.json.Decoder()


def read_request(data: bytes, *, taken: Collection[str] = ()) -> Named:
    """An item of `requests`; `taken` are names that no request may have. Raises InvalidRequest."""
    made: _Request = _decoded(data, _request, _Request)
    if NAME.fullmatch(made.custom_id) is None:
        raise InvalidRequest(
            "'custom_id' must have 1 to 64 letters, digits, underscores or hyphens, "
            f"but got '{clip(made.custom_id)}'.",
            param="custom_id",
        )
    if made.custom_id in taken:
        raise InvalidRequest(
            f"'custom_id' must not be '{made.custom_id}': that is a path under the batch itself, so the answer could not be "
            "read by its name. Give the request another one.",
            param="custom_id",
        )
    return Named(made.custom_id, bytes(made.params))


def read_line(data: bytes, *, endpoint: str) -> Named:
    """A line of a file whose batch is for `endpoint`; raises InvalidRequest."""
    made: _Line = _decoded(data, _line, _Line)
    if made.url != endpoint:
        raise InvalidRequest(
            f"'url' is '{clip(made.url)}', and the batch is for '{endpoint}'.",
            param="url",
            code="invalid_url",
        )
    if "\0" in made.custom_id:
        raise InvalidRequest(
            "'custom_id' holds the character U+0000, which not every database can store.", param="custom_id"
        )
    return Named(made.custom_id, bytes(made.body))


def placed(error: ApiError, place: str, *, inside: str = "") -> InvalidRequest:
    """The error as one of the whole body: it is about what stands at `place`, and there under `inside`."""
    steps = [step for step in (place, inside, error.param) if step]
    param = ".".join(steps).replace(".[", "[")
    message = f"{place}: {error.message}" if place else error.message
    return InvalidRequest(message, param=param or None, code=error.code)


def _decoded(data: bytes, decoder: Any, row: type[Struct]) -> Any:
    try:
        try:
            return decoder.decode(data)
        except msgspec.ValidationError as error:
            # It stopped at the first fault: what follows may be no JSON at all.
            raise _explained(error, _any.decode(data), row) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"It is not valid JSON: {error}.", code="invalid_json") from error


def _explained(error: msgspec.ValidationError, value: Any, row: type[Struct]) -> InvalidRequest:
    if not isinstance(value, dict):
        return InvalidRequest(
            f"Invalid type: expected an object, but got {kind_of(value)}.", code="invalid_type"
        )
    known = row.__struct_fields__
    for name in value:
        if name not in known:
            return InvalidRequest(
                f"Unknown parameter: '{clip(name)}'. A request has {', '.join(map(repr, known))}.",
                param=clip(name),
                code="unknown_parameter",
            )
    return complain(error, value, row)
