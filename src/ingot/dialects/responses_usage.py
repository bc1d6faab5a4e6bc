"""Token counts as whole responses tell them.

    input_tokens      all of the prompt; cached and newly cached ones are among them
    output_tokens     all of the answer; reasoning is among it

Decides which member is which count. What cannot be believed, as `usage.Count` has it, is as good as untold.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from ingot.dialects.dialect import Usage
from ingot.dialects.usage import USAGE, Count, value_at


class _Input(Struct):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class _Output(Struct):
    reasoning_tokens: Count | None = None


class _Told(Struct):
    input_tokens: Count
    output_tokens: Count | None = None
    input_tokens_details: _Input | None = None
    output_tokens_details: _Output | None = None


_any = msgspec.json.Decoder(dict[str, Any])


def read_usage(answer: bytes, *, path: tuple[str, ...] = USAGE) -> Usage | None:
    """What a whole response says it used; raises ValueError where the answer is no response."""
    value = _any.decode(answer)
    if type(value.get("output")) is not list:
        raise ValueError("The answer has no list of output items.")
    if value.get("status") in ("queued", "in_progress"):
        raise ValueError("The answer is not finished.")
    return usage_at(value, path)


def usage_at(value: Mapping[str, Any], path: tuple[str, ...] = USAGE) -> Usage | None:
    """The counts of a decoded response."""
    found = value_at(value, path)
    if found is None:
        return None
    try:
        told = msgspec.convert(found, _Told)
    except msgspec.ValidationError:
        return None
    of_input = told.input_tokens_details or _Input()
    of_output = told.output_tokens_details or _Output()
    output = told.output_tokens or 0
    cached = min(of_input.cached_tokens or 0, told.input_tokens)
    return Usage(
        input=told.input_tokens,
        cached_input=cached,
        cache_write=min(of_input.cache_write_tokens or 0, told.input_tokens - cached),
        output=output,
        reasoning=min(of_output.reasoning_tokens or 0, output),
    )
