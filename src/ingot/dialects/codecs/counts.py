"""Counts of a target that do not add up, as they are told to clients.

Decides that no part is larger than its whole, which is how they are billed. Knows no dialect's names for them.
"""

from msgspec.structs import replace

from ingot.canonical import Usage


def bounded(usage: Usage) -> Usage:
    """The counts, those of parts cut where they exceed what they are parts of; what was not told stays so."""
    cached = _least(usage.cached_input, usage.input)
    written = _least(usage.cache_write, usage.input - (cached or 0))
    return replace(
        usage,
        cached_input=cached,
        cache_write=written,
        # A split of what is less now would not add up.
        cache_write_by=usage.cache_write_by if written == usage.cache_write else {},
        reasoning=_least(usage.reasoning, usage.output),
        audio_input=_least(usage.audio_input, usage.input),
        audio_output=_least(usage.audio_output, usage.output),
    )


def _least(part: int | None, whole: int) -> int | None:
    return None if part is None else min(part, whole)
