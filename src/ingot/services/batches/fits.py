"""Whether the targets of its model can take a request of a batch: asked once for all requests of one shape.

    request --shape--> known: some target takes it
                '----> `fitting.check`: refused in its words, or known from now on

A shape is all that a target could refuse: fields, roles, kinds, settings, schemas; of what is said only whether it says
anything (measured: 1 to 5 us, where a check costs up to 60). What names files or earlier responses is read when it runs,
and judged then. Works on threads; fetches nothing.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from ingot.catalog import Deployment
from ingot.dialects.dialect import Call, Dialect
from ingot.dialects.responses_state import needs_past
from ingot.services.asking import Asked, for_target, stamped
from ingot.services.door import Inference
from ingot.services.fitting import check, takes_all
from ingot.services.keys import Principal
from ingot.services.runtime import Runtime

Sent = Callable[[Call, Deployment, str], Call]
"""A call as it runs later, by its model and window."""

MOST_SHAPES: Final = 1024
MOST_PARTS: Final = 1024
LONGEST: Final = 16 * 1024
"""Bytes of a schema or a name in a shape. What is more is worth no memory, and is asked each time."""

_SAID: Final = frozenset({"input", "instructions", "messages", "prompt", "system"})
_TEXTS: Final = frozenset({"content", "text"})
_WHOSE: Final = frozenset({"metadata", "prompt_cache_key", "safety_identifier", "seed", "user"})
# Nothing that JSON has is like one of these.
_EMPTY, _BLANK, _SAYS, _END = object(), object(), object(), object()

_encode: Final = msgspec.json.Encoder().encode


class Fits:
    """Asks for the requests of one batch; belongs to one reader."""

    __slots__ = ("_dialect", "_known", "_open", "_sent", "_who")

    def __init__(self, dialect: Dialect, who: Principal, sent: Sent) -> None:
        """`who` sent the batch."""
        self._dialect = dialect
        self._who = who
        self._sent = sent
        self._known: set[object] = set()
        self._open: dict[str, bool] = {}

    def check(self, call: Call, deployment: Deployment, window: str) -> None:
        """Raises ClientError where no target of its model takes the request."""
        if not call.images and self._is_open(deployment):
            return
        shape = shape_of(call.body.value)
        key = None if shape is None else (deployment.name, window, shape)
        if key is not None and key in self._known:
            return
        if call.files or (self._dialect.own_place is not None and needs_past(call)):
            return
        call = self._sent(call, deployment, window)
        path = f"/v1{self._dialect.surface}"
        check(
            Inference("", path, self._dialect, call, deployment, self._who, response_id="", created_at=0),
            call,
        )
        if key is not None:
            if len(self._known) >= MOST_SHAPES:
                self._known.clear()
            self._known.add(key)

    def _is_open(self, deployment: Deployment) -> bool:
        found = self._open.get(deployment.name)
        if found is None:
            found = self._open[deployment.name] = takes_all(deployment, self._dialect)
        return found


def fits_for(runtime: Runtime, dialect: Dialect, who: Principal) -> Fits:
    """What asks for the requests of one batch of theirs."""
    return Fits(dialect, who, partial(_sent, runtime, dialect, who))


def _sent(
    runtime: Runtime, dialect: Dialect, who: Principal, call: Call, deployment: Deployment, window: str
) -> Call:
    asked = Asked("", f"/v1{dialect.surface}", dialect, call, deployment, who, window=window)
    return stamped(runtime, for_target(runtime, dialect, call, window=window), asked, response_id="")


# ---- shapes


class _Endless(Exception):
    """A shape of many parts."""


def shape_of(value: Mapping[str, Any]) -> object | None:
    """What of a body tells whether a target takes it; None where that is too much to remember."""
    shape: list[object] = []
    try:
        for name, held in value.items():
            shape.append(name)
            if name in _SAID:
                if type(held) is str:
                    shape.append(_said(held))
                else:
                    _add(held, shape.append)
            elif name in _WHOSE:
                shape.append(_whose(held))
            else:
                shape.append(_exact(held))
    except _Endless:
        return None
    return tuple(shape) if len(shape) <= MOST_PARTS else None


def _add(held: Any, add: Callable[[object], None]) -> None:
    """What is said, piece by piece; where each begins and ends is told, so that none looks like another."""
    kind = type(held)
    if kind is list:
        add(list)
        for each in held:
            # A text among others is one of those that are to be embedded or completed.
            if type(each) is str:
                add(_said(each))
            else:
                _add(each, add)
        add(_END)
    elif kind is dict:
        add(dict)
        for name, each in held.items():
            add(name)
            if type(each) is not str:
                _add(each, add)
            elif name in _TEXTS:
                add(_said(each))
            elif len(each) > LONGEST:
                raise _Endless
            else:
                add(each)
        add(_END)
    else:
        add(held)


def _said(text: str) -> object:
    """Of a text, whether it says anything."""
    return (_BLANK if text.isspace() else _SAYS) if text else _EMPTY


def _exact(held: Any) -> Any:
    kind = type(held)
    if kind is dict or kind is list:
        held = _encode(held)
    elif kind is not str:
        return held
    if len(held) > LONGEST:
        raise _Endless
    return held


def _whose(held: Any) -> object:
    """What tells who asks: which of it is there, of which kind."""
    if type(held) is dict:
        return tuple([(name, type(each)) for name, each in held.items()])
    return type(held)
