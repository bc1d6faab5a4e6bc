"""Completion windows: which there are, which one a request is in, when its answer is due, and how soon it really came.

    metadata.completion_window | service_tier | neither --choose--> Window --due_at--> instant
    queue time, turn time --achieved--> the fastest window that was kept

A request's own word comes first. `service_tier` names a window where the model has one of that name, and is then ours;
any other value is the target's. Without either the window is `standard` where the model has it, else `asap`, else the
model's first. Pure; knows no queue and no price. Source: contract §3, C-03, C-60, C-66.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from ingot import rawjson
from ingot.config import WindowConfig
from ingot.errors import InvalidRequest, Unsupported
from ingot.rawjson import Body, clip, kind_of
from ingot.scheduling.windows import ASAP, STANDARD, WINDOWS, Window

NAME: Final = "completion_window"
FIELD: Final = f"metadata.{NAME}"
SECRET: Final = "webhook_token"  # noqa: S105  # the name of a field
OURS: Final = (NAME, "completion_webhook", SECRET)
"""What of a request's metadata is said to this server; no target sees it."""
TIERS: Final = ("priority", "flex")
"""Values of `service_tier` that may name a window; `auto` and `default` ask for none, others are a target's own."""

_TOLD: Final = frozenset({"background", "metadata", "service_tier"})
"""Where anything is said to this server; most requests have none of them, and are through after one look."""

AT_ONCE: Final = 1.0
"""Seconds in the queue up to which work was begun at once."""


def build(configured: Mapping[str, WindowConfig]) -> Mapping[str, Window]:
    """All windows, those that ship with what the configuration changes of them."""
    return {**WINDOWS, **{name: _window(name, config) for name, config in configured.items()}}


def choose(
    value: Mapping[str, Any],
    offered: Sequence[str],
    *,
    windows: Mapping[str, Window],
    background: bool,
    unsaid: str | None = None,
) -> str:
    """The window of a request to a model that is offered in these; raises ApiError that names the field.

    A tier names no window that is not for a client who waits. `unsaid` is that of a request which names none, where the
    model has it.
    """
    if value.keys().isdisjoint(_TOLD):
        return usual(offered, unsaid=unsaid)
    asked, tier = _asked(value), value.get("service_tier")
    named = tier if tier in TIERS and tier in offered else None
    if named is not None and windows[named].background_only and not background:
        named = None
    if asked is not None and asked not in offered:
        raise Unsupported(
            f"Invalid value for '{FIELD}': this model is offered in {_either(offered)}, not in '{clip(asked)}'.",
            param=FIELD,
            code="unsupported_value",
        )
    if asked is not None and named is not None and asked != named:
        raise InvalidRequest(
            f"'{FIELD}' is '{asked}' and 'service_tier' is '{named}'. Send one of them, or the same in both.",
            param=FIELD,
        )
    return asked or named or usual(offered, unsaid=unsaid)


def batchable(offered: Sequence[str], windows: Mapping[str, Window]) -> Sequence[str]:
    """Of a model's windows those that take requests of a batch; `standard` where none does: a batch has a day for it."""
    return [name for name in offered if windows[name].batchable] or [STANDARD.name]


def usual(offered: Sequence[str], *, unsaid: str | None = None) -> str:
    """The window of a request that names none; `unsaid` is one that comes before the usual ones."""
    for name in (unsaid, STANDARD.name, ASAP.name):
        if name is not None and name in offered:
            return name
    return offered[0]


def refuse_foreground(window: Window) -> None:
    """Raises where a client that waits for its answer may not be in this window."""
    if window.background_only:
        raise Unsupported(
            f"The completion window '{window.name}' is for work in the background. Send 'background': true, or name "
            f"another window in '{FIELD}'.",
            param=FIELD,
            code="unsupported_value",
        )


def achieved(windows: Mapping[str, Window], *, queued: float, turn: float) -> str | None:
    """The fastest window that an answer kept, by its seconds in the queue and from request to end; None: no window."""
    if queued <= AT_ONCE and ASAP.name in windows:
        return ASAP.name
    kept = [each for each in windows.values() if each.seconds >= turn]
    return min(kept, key=lambda each: (each.seconds, each.name)).name if kept else None


def for_target(body: Body, window: str, *, background: bool) -> Body:
    """The body without what is said to this server alone; itself where there is nothing of that kind.

    `window` is the one that was chosen; `background` says whether the field of that name is said to this server.
    """
    value = body.value
    if value.keys().isdisjoint(_TOLD):
        return body
    drop = {"background"} & value.keys() if background else set()
    if value.get("service_tier") == window:
        drop.add("service_tier")
    changed: dict[str, Any] = {}
    pairs = value.get("metadata")
    if isinstance(pairs, dict) and not pairs.keys().isdisjoint(OURS):
        rest = {name: held for name, held in pairs.items() if name not in OURS}
        if rest:
            changed["metadata"] = rest
        else:
            drop.add("metadata")
    return rawjson.edited(body, replace=changed, drop=drop)


def for_store(body: Body) -> Body:
    """The body as it is kept: without the token that a webhook is called with."""
    pairs = body.value.get("metadata")
    if not isinstance(pairs, dict) or SECRET not in pairs:
        return body
    rest = {name: held for name, held in pairs.items() if name != SECRET}
    return rawjson.edited(body, replace={"metadata": rest})


def _window(name: str, config: WindowConfig) -> Window:
    ships = WINDOWS.get(name) or Window(name=name, seconds=0.0)
    said = {each: getattr(config, each) for each in config.__struct_fields__}
    return replace(ships, **{each: told for each, told in said.items() if told is not None})


def _asked(value: Mapping[str, Any]) -> str | None:
    pairs = value.get("metadata")
    if not isinstance(pairs, dict) or pairs.get(NAME) is None:
        return None
    asked = pairs[NAME]
    if not isinstance(asked, str):
        raise InvalidRequest(
            f"Invalid type for '{FIELD}': expected a string, but got {kind_of(asked)}.",
            param=FIELD,
            code="invalid_type",
        )
    return asked


def _either(names: Sequence[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
