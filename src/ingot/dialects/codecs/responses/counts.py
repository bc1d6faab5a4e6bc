"""Token counts of responses, both ways.

Decides which count is which canonical one. A count is believed where `usage.Count` believes it; others, and counts
that nobody here knows, stay unknown fields. Clients demand the details, so an untold one is a zero.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from ingot.canonical import Loss, Usage, lost_extras
from ingot.dialects.codecs.counts import bounded
from ingot.dialects.codecs.leftovers import extras_of, restore, unknown
from ingot.dialects.usage import Count

Json = dict[str, Any]

_INPUT: Final = "input_tokens_details"
_OUTPUT: Final = "output_tokens_details"
_WRITES: Final = "cache_write_tokens_details"


class _Writes(Struct):
    ttl_30m_tokens: Count | None = None
    ttl_12h_tokens: Count | None = None


class _InputDetails(Struct):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    cache_write_tokens_details: _Writes | None = None


class _OutputDetails(Struct):
    reasoning_tokens: Count | None = None


class _Told(Struct):
    input_tokens: Count
    output_tokens: Count = 0
    total_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


_KNOWN: Final = frozenset(_Told.__struct_fields__)
_KNOWN_INPUT: Final = frozenset(_InputDetails.__struct_fields__)
_KNOWN_OUTPUT: Final = frozenset(_OutputDetails.__struct_fields__)


def decode_usage(value: Any) -> Usage | None:
    """The counts of a usage object; None where it is none, or holds what is no count."""
    try:
        told = msgspec.convert(value, _Told | None)
    except msgspec.ValidationError:
        return None
    if told is None:
        return None
    fields = dict(unknown(value, _KNOWN))
    if told.input_tokens_details is not None:
        fields.update(unknown(value[_INPUT], _KNOWN_INPUT, inside=_INPUT))
    if told.output_tokens_details is not None:
        fields.update(unknown(value[_OUTPUT], _KNOWN_OUTPUT, inside=_OUTPUT))
    of_input = told.input_tokens_details or _InputDetails()
    of_output = told.output_tokens_details or _OutputDetails()
    writes = of_input.cache_write_tokens_details or _Writes()
    by = {"30m": writes.ttl_30m_tokens, "12h": writes.ttl_12h_tokens}
    return Usage(
        input=told.input_tokens,
        output=told.output_tokens,
        cached_input=of_input.cached_tokens,
        cache_write=of_input.cache_write_tokens,
        cache_write_by={ttl: count for ttl, count in by.items() if count is not None},
        reasoning=of_output.reasoning_tokens,
        extras=extras_of(fields, "responses"),
    )


def encode_usage(usage: Usage) -> Json:
    """The counts as a usage object."""
    usage = bounded(usage)
    of_input: Json = {
        "cached_tokens": usage.cached_input or 0,
        "cache_write_tokens": usage.cache_write or 0,
    }
    by = usage.cache_write_by
    if by.keys() & {"30m", "12h"}:
        of_input[_WRITES] = {"ttl_30m_tokens": by.get("30m", 0), "ttl_12h_tokens": by.get("12h", 0)}
    told: Json = {
        "input_tokens": usage.input,
        _INPUT: of_input,
        "output_tokens": usage.output,
        _OUTPUT: {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": usage.input + usage.output,
    }
    restore(usage.extras, told, dialect="responses")
    return told


def lost_of_usage(usage: Usage) -> Iterator[Loss]:
    """The counts that `encode_usage` has no place for."""
    yield from lost_extras(usage.extras, "responses", at="usage", silent=(b"null", b"0"))
    if usage.audio_input or usage.audio_output:
        yield Loss("usage", "answer", "the responses dialect does not count audio apart")
    others = {ttl: count for ttl, count in usage.cache_write_by.items() if ttl not in {"30m", "12h"}}
    if any(others.values()):
        yield Loss(
            "usage", "answer", "the responses dialect tells cache writes of 30 minutes and 12 hours only"
        )
