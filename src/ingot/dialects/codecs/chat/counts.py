"""Token counts of chat answers, both ways.

Decides which count of `chat` is which canonical one. A count is believed where `usage.Count` believes it; others, and
counts that nobody here knows, stay unknown fields.
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

_INPUT: Final = "prompt_tokens_details"
_OUTPUT: Final = "completion_tokens_details"


class _InputDetails(Struct):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    audio_tokens: Count | None = None


class _OutputDetails(Struct):
    reasoning_tokens: Count | None = None
    audio_tokens: Count | None = None


class _Told(Struct):
    prompt_tokens: Count
    completion_tokens: Count = 0
    total_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None


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
    if told.prompt_tokens_details is not None:
        fields.update(unknown(value[_INPUT], _KNOWN_INPUT, inside=_INPUT))
    if told.completion_tokens_details is not None:
        fields.update(unknown(value[_OUTPUT], _KNOWN_OUTPUT, inside=_OUTPUT))
    of_input = told.prompt_tokens_details or _InputDetails()
    of_output = told.completion_tokens_details or _OutputDetails()
    return Usage(
        input=told.prompt_tokens,
        output=told.completion_tokens,
        cached_input=of_input.cached_tokens,
        cache_write=of_input.cache_write_tokens,
        audio_input=of_input.audio_tokens,
        reasoning=of_output.reasoning_tokens,
        audio_output=of_output.audio_tokens,
        extras=extras_of(fields, "chat"),
    )


def encode_usage(usage: Usage) -> Json:
    """The counts as a usage object; details are there where any of them is known."""
    usage = bounded(usage)
    told: Json = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
    }
    fields = () if usage.extras is None else usage.extras.fields
    of_input = {
        "cached_tokens": usage.cached_input,
        "cache_write_tokens": usage.cache_write,
        "audio_tokens": usage.audio_input,
    }
    of_output = {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.audio_output}
    for name, details in ((_INPUT, of_input), (_OUTPUT, of_output)):
        known = {key: count for key, count in details.items() if count is not None}
        if known or any(field.startswith(f"{name}.") for field in fields):
            told[name] = known
    restore(usage.extras, told, dialect="chat")
    return told


def lost_of_usage(usage: Usage) -> Iterator[Loss]:
    """The counts that `encode_usage` has no place for."""
    yield from lost_extras(usage.extras, "chat", at="usage", silent=(b"null", b"0"))
    if any(usage.cache_write_by.values()):
        yield Loss("usage", "answer", "the chat dialect does not tell cache writes by their time to live")
