"""Token counts as answers in Anthropic's format tell them, and as they grow over a stream.

`input_tokens` leaves out what was read from a cache and what was written into one; ours has both in it. Counts in a
stream are cumulative and come in pieces: of two, the larger is the later. What cannot be believed is as good as untold.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from ingot.dialects.dialect import Usage
from ingot.dialects.usage import USAGE, Count, value_at


class _Details(Struct):
    thinking_tokens: Count | None = None


class Told(Struct):
    """What one answer or event says."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    output_tokens_details: _Details | None = None


_any = msgspec.json.Decoder(dict[str, Any])


def read_usage(answer: bytes, *, path: tuple[str, ...] = USAGE) -> Usage | None:
    """What a whole answer says it used; raises ValueError where the answer is no JSON object."""
    return usage_at(_any.decode(answer), path)


def usage_at(answer: Mapping[str, Any], path: tuple[str, ...] = USAGE) -> Usage | None:
    """`read_usage` for an answer that is already decoded."""
    tally = Tally()
    tally.add(answer, path)
    return tally.usage()


class Tally:
    """The counts of one answer, as far as it has told them."""

    __slots__ = ("_cached", "_input", "_output", "_thinking", "_told", "_written")

    def __init__(self) -> None:
        self._told = False
        self._input = self._cached = self._written = self._output = self._thinking = 0

    def add(self, holder: object, path: tuple[str, ...] = USAGE) -> bool:
        """Takes the usage that `holder` has at `path`; whether it told how much was put out."""
        found = value_at(holder, path)
        if found is None:
            return False
        try:
            told = msgspec.convert(found, Told)
        except msgspec.ValidationError:
            return False
        self._told = self._told or told.input_tokens is not None
        self._input = max(self._input, told.input_tokens or 0)
        self._cached = max(self._cached, told.cache_read_input_tokens or 0)
        self._written = max(self._written, told.cache_creation_input_tokens or 0)
        self._output = max(self._output, told.output_tokens or 0)
        if told.output_tokens_details is not None:
            self._thinking = max(self._thinking, told.output_tokens_details.thinking_tokens or 0)
        return told.output_tokens is not None

    def usage(self) -> Usage | None:
        """All of it; None where not even the input was told."""
        if not self._told:
            return None
        return Usage(
            input=self._input + self._cached + self._written,
            cached_input=self._cached,
            cache_write=self._written,
            output=self._output,
            reasoning=min(self._thinking, self._output),
        )

    def prompt(self) -> Usage | None:
        """The same without the output, for a stream that only begins."""
        whole = self.usage()
        return None if whole is None else msgspec.structs.replace(whole, output=0, reasoning=0)
