"""Token counts of messages answers, both ways.

    input_tokens + cache_read_input_tokens + cache_creation_input_tokens  =  canonical `input`

Decides which count of this dialect is which canonical one. A count is believed where `usage.Count` believes it;
counts that nobody here knows stay unknown fields. The tier that an answer's usage tells is not a count.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from ingot.canonical import Loss, Usage, lost_extras
from ingot.dialects.codecs.counts import bounded
from ingot.dialects.codecs.leftovers import extras_of, restore, unknown
from ingot.dialects.codecs.messages.ends import TIER
from ingot.dialects.usage import Count

Json = dict[str, Any]

_WRITES: Final = "cache_creation"
_OUTPUT: Final = "output_tokens_details"
_WRITE: Final = re.compile(r"ephemeral_(\w+)_input_tokens")


class _OutputDetails(Struct):
    thinking_tokens: Count | None = None


class _Told(Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation: dict[str, Any] | None = None
    output_tokens_details: _OutputDetails | None = None


class _Writes(Struct):
    by: dict[str, Count]


_KNOWN: Final = frozenset({*_Told.__struct_fields__, TIER})
_KNOWN_OUTPUT: Final = frozenset(_OutputDetails.__struct_fields__)


def decode_usage(value: Any) -> Usage | None:
    """The counts of a usage object; None where it is none, or holds what is no count."""
    try:
        told = msgspec.convert(value, _Told | None)
        if told is None or (told.input_tokens is None and told.output_tokens is None):
            return None
        by = _decode_writes(told.cache_creation or {})
    except msgspec.ValidationError:
        return None
    fields = dict(unknown(value, _KNOWN))
    if told.output_tokens_details is not None:
        fields.update(unknown(value[_OUTPUT], _KNOWN_OUTPUT, inside=_OUTPUT))
    if told.cache_creation is not None:
        known = [name for name in told.cache_creation if _WRITE.fullmatch(name)]
        fields.update(unknown(told.cache_creation, known, inside=_WRITES))
    written = told.cache_creation_input_tokens
    if written is None and by:
        written = sum(by.values())
    return Usage(
        input=(told.input_tokens or 0) + (told.cache_read_input_tokens or 0) + (written or 0),
        output=told.output_tokens or 0,
        cached_input=told.cache_read_input_tokens,
        cache_write=written,
        cache_write_by=by,
        reasoning=None if told.output_tokens_details is None else told.output_tokens_details.thinking_tokens,
        extras=extras_of(fields, "messages"),
    )


def _decode_writes(told: Json) -> dict[str, int]:
    """Cache writes by their time to live; raises ValidationError where one is no count."""
    by = {
        match[1]: count
        for name, count in told.items()
        if count is not None and (match := _WRITE.fullmatch(name))
    }
    return msgspec.convert({"by": by}, _Writes).by


def encode_usage(usage: Usage) -> Json:
    """The counts as a usage object; those that nobody told are left out."""
    usage = bounded(usage)
    cached, written = usage.cached_input, usage.cache_write
    told: Json = {
        "input_tokens": usage.input - (cached or 0) - (written or 0),
        "output_tokens": usage.output,
    }
    if written is not None:
        told["cache_creation_input_tokens"] = written
    if cached is not None:
        told["cache_read_input_tokens"] = cached
    fields = () if usage.extras is None else usage.extras.fields
    by = {f"ephemeral_{ttl}_input_tokens": count for ttl, count in usage.cache_write_by.items()}
    if by or any(name.startswith(f"{_WRITES}.") for name in fields):
        told[_WRITES] = by
    if usage.reasoning is not None:
        told[_OUTPUT] = {"thinking_tokens": usage.reasoning}
    elif any(name.startswith(f"{_OUTPUT}.") for name in fields):
        told[_OUTPUT] = {}
    restore(usage.extras, told, dialect="messages")
    return told


def lost_of_usage(usage: Usage) -> Iterator[Loss]:
    """The counts that `encode_usage` has no place for."""
    yield from lost_extras(usage.extras, "messages", at="usage", silent=(b"null", b"0"))
    if usage.audio_input or usage.audio_output:
        yield Loss("usage", "answer", "the messages dialect does not tell tokens of audio by themselves")
