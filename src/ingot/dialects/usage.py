"""Token counts as OpenAI-shaped answers and chunks tell them.

Decides when a count can be believed: integers of zero or more. What cannot be believed is as good as untold.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from ingot.dialects.dialect import Usage

USAGE = ("usage",)

Count = Annotated[int, Meta(ge=0, le=2**53)]


class _Details(Struct):
    cached_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class _Told(Struct):
    prompt_tokens: Count
    completion_tokens: Count | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Answer(Struct):
    usage: _Told | None = None


class _Loose(Struct):
    usage: Raw = Raw(b"null")


class _Identified(Struct):
    id: str | None = None


class _Counted(Struct):
    input_tokens: Count


_answer = msgspec.json.Decoder(_Answer)
_loose = msgspec.json.Decoder(_Loose)
_identified = msgspec.json.Decoder(_Identified)
_counted = msgspec.json.Decoder(_Counted)
_told = msgspec.json.Decoder(_Told | None)
_any = msgspec.json.Decoder(dict[str, Any])


def read_id(answer: bytes) -> str | None:
    """The id that an answer carries."""
    try:
        return _identified.decode(answer).id
    except ValueError:
        return None


def read_usage(answer: bytes, *, path: tuple[str, ...] = USAGE) -> Usage | None:
    """What a whole answer says it used; raises ValueError where the answer is no JSON object."""
    if path != USAGE:
        return usage_at(_any.decode(answer), path)
    # One key of a struct: the rest of the answer is skipped, not built (1.5 MB of embeddings too).
    try:
        told = _answer.decode(answer).usage
    except msgspec.ValidationError:
        told = _believed(answer)
    return None if told is None else _usage(told)


def _believed(answer: bytes) -> _Told | None:
    """None for counts that cannot be; raises ValueError where the answer is no JSON object."""
    raw = _loose.decode(answer).usage
    told: _Told | None
    try:
        told = _told.decode(raw)
    except msgspec.ValidationError:
        return None
    return told


def read_count(answer: bytes, *, path: tuple[str, ...] = USAGE) -> Usage | None:  # noqa: ARG001  # a dialect's signature
    """Nothing, for to count costs nothing; raises ValueError where the answer holds no count of input tokens."""
    _counted.decode(answer)
    return None


def value_at(holder: object, path: tuple[str, ...]) -> Any:
    """What stands at this path of a decoded answer or event; None where nothing does."""
    found: Any = holder
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def usage_at(answer: Mapping[str, Any], path: tuple[str, ...] = USAGE) -> Usage | None:
    """`read_usage` for an answer or chunk that is already decoded."""
    found = value_at(answer, path)
    if found is None:
        return None
    try:
        return _usage(msgspec.convert(found, _Told))
    except msgspec.ValidationError:
        return None


def _usage(told: _Told) -> Usage:
    output = told.completion_tokens or 0
    cached = told.prompt_tokens_details.cached_tokens if told.prompt_tokens_details else None
    reasoning = told.completion_tokens_details.reasoning_tokens if told.completion_tokens_details else None
    return Usage(
        input=told.prompt_tokens,
        cached_input=min(cached, told.prompt_tokens) if cached else 0,
        output=output,
        reasoning=min(reasoning, output) if reasoning else 0,
    )
