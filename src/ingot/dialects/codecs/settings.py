"""What codecs do alike with a request that goes to a target: its cache, its effort, and how the target differs.

Decides nothing about which settings a dialect has.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw

from ingot.canonical import (
    CacheSettings,
    DialectName,
    Loss,
    Losses,
    ReasoningSettings,
    Request,
    kind_at,
    where,
)
from ingot.catalog import Quirks
from ingot.dialects.efforts import effort_of
from ingot.dialects.outgoing import DROPPED, STORED, asks_nothing, edits

Json = dict[str, Any]

_encode: Final = msgspec.json.Encoder().encode


def encode_cache(
    request: Request, told: CacheSettings, *, value: Json, dialect: DialectName
) -> Iterator[Loss]:
    """The cache settings as OpenAI's dialects have them."""
    if told.key is not None:
        value["prompt_cache_key"] = told.key
    if told.retention is not None:
        value["prompt_cache_retention"] = told.retention
    if told.options is not UNSET:
        value["prompt_cache_options"] = told.options
    if told.hint is not None:
        reason = f"the cache breakpoint: targets of the {dialect} dialect decide themselves what they cache"
        yield Loss(request.place("cache.hint"), "cache_breakpoint", reason)


def effort_told(request: Request, told: ReasoningSettings, dialect: DialectName) -> tuple[str | None, Losses]:
    """The effort that OpenAI's dialects are asked for: all that they know; a budget becomes the largest it pays for."""
    if told.mode == "disabled":
        return "none", ()
    if told.budget is None:
        if told.effort is not None or told.mode is None:
            return told.effort, ()
        reason = f"the {dialect} dialect has no switch for thinking: the target thinks as it does by default"
        return None, (Loss(request.place("reasoning.mode"), "default", reason),)
    effort = told.effort or effort_of(told.budget)
    reason = f"the {dialect} dialect has no budget; it was sent as the effort '{effort}'"
    return effort, (Loss(request.place("reasoning.budget"), "effort", reason),)


def left_out(request: Request, value: Json, *, quirks: Quirks, settings: Mapping[str, str]) -> Iterator[Loss]:
    """What does not reach a target by its quirks, where it asks for anything; what it refuses is taken out here.

    `settings` are those of fields that go by other names.
    """
    for name in [name for name in value if name in quirks.reject or name in quirks.drop]:
        held = value[name]
        if asks_nothing(name, msgspec.json.decode(held) if isinstance(held, Raw) else held):
            continue
        setting = settings.get(name, name)
        place = where(request.place(setting))
        if name in quirks.reject:
            del value[name]
            yield Loss(place, kind_at(place, otherwise="setting"), "the target does not take it")
        elif not _is_ours(request, name, setting):
            yield Loss(place, "dropped", DROPPED)


def _is_ours(request: Request, name: str, setting: str) -> bool:
    """Whether a client did not say it, or not to the target: a bound that was filled in, and what we keep for it."""
    if setting == "max_output_tokens":
        return request.max_output_tokens is None
    return name in STORED and request.store is True


def apply_edits(value: Json, quirks: Quirks, *, hidden: frozenset[str] = frozenset()) -> None:
    """Applies what is different about a target that does not speak chat; `hidden` are fields that mean other things there.

    The edits know the streams, the store and the choice among several tools of chat alone.
    """
    shown = {name: held for name, held in value.items() if name not in hidden}
    changed, dropped = edits(
        shown,
        raw=lambda key: _encode(value[key]),
        stream=False,
        force_usage=False,
        quirks=replace(quirks, narrow_tools=False),
    )
    for key in dropped:
        value.pop(key, None)
    value.update({key: Raw(new) for key, new in changed.items()})
