"""Tool calls in one piece: holds back what a stream says of a call until it has all been said.

    chunk with a piece of a call --> held; what else the chunk says goes on
    chunk with a finish reason ----> one chunk with all calls of that choice, each whole, and then this one

Decides nothing about other fields. Pieces are put together as OpenAI's clients do it: contract §2.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from ingot.sse import BETWEEN

Json = dict[str, Any]

_GROWING: Final = frozenset({"arguments", "input"})

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Gathering:
    """One stream; `ruled` is what is done to each chunk before."""

    __slots__ = ("_calls", "_last", "_ruled")

    def __init__(self, ruled: Callable[[bytes], bytes]) -> None:
        self._ruled = ruled
        self._calls: dict[int, _Calls] = {}
        self._last: Json = {}

    def feed(self, data: bytes) -> bytes | None:
        """What goes to the client of one chunk; two are joined by `sse.BETWEEN`."""
        data = self._ruled(data)
        if b'"tool_calls"' not in data and not self._calls:
            return data
        chunk = _decode(data)
        choices = chunk.get("choices") if type(chunk) is dict else None
        if type(choices) is not list or not all(type(each) is dict for each in choices):
            return data
        held = [self._hold(choice) for choice in choices]
        self._last = chunk
        if any(held):
            if not _speaks(chunk):
                return None
            data = _encode(chunk)
        ended = [
            choice for choice in choices if choice.get("finish_reason") and _index(choice) in self._calls
        ]
        return self._release(chunk, ended) + BETWEEN + data if ended else data

    def end(self) -> bytes | None:
        """The calls of choices that never had a finish reason."""
        choices: list[Json] = [{"index": index, "logprobs": None} for index in sorted(self._calls)]
        return self._release(self._last, choices) if choices else None

    def _hold(self, choice: Json) -> bool:
        """Takes the pieces of calls out of a choice; whether there were any."""
        delta = choice.get("delta")
        pieces = delta.pop("tool_calls", None) if type(delta) is dict else None
        if type(pieces) is not list:
            return False
        calls = self._calls.setdefault(_index(choice), _Calls())
        for piece in pieces:
            if type(piece) is dict:
                calls.take(piece)
        return True

    def _release(self, chunk: Json, choices: list[Json]) -> bytes:
        told = [
            {
                **choice,
                "delta": {"tool_calls": self._calls.pop(_index(choice)).whole()},
                "finish_reason": None,
            }
            for choice in choices
        ]
        usage = {"usage": None} if "usage" in chunk else {}
        return _encode({**chunk, "choices": told, **usage})


class _Calls:
    """The calls of one choice while their pieces come."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[int, Json] = {}

    def take(self, piece: Json) -> None:
        """Takes the next piece."""
        call = self._held.setdefault(self._place(piece), {})
        for name, value in piece.items():
            if type(value) is dict:
                _merge(call.setdefault(name, {}), value)
            elif name != "index":
                call[name] = call.get(name) or value

    def whole(self) -> list[Json]:
        """The calls in their order."""
        return [{"index": index, **self._held[index]} for index in sorted(self._held)]

    def _place(self, piece: Json) -> int:
        """Which call a piece belongs to; without an index a new id begins a new call."""
        index = piece.get("index")
        if type(index) is int:
            return index
        last = max(self._held, default=-1)
        if last < 0:
            return 0
        known, told = self._held[last].get("id"), piece.get("id")
        return last + 1 if known and told and known != told else last


def _merge(into: Json, piece: Json) -> None:
    """Takes a piece of `{"name": ..., "arguments": ...}`; some servers repeat the name with every piece."""
    for name, value in piece.items():
        old = into.get(name)
        if name in _GROWING and type(value) is str and type(old) is str:
            into[name] = old + value
        else:
            into[name] = old or value


def _index(choice: Json) -> int:
    index = choice.get("index")
    return index if type(index) is int else 0


def _speaks(chunk: Json) -> bool:
    """Whether a chunk says anything but pieces of calls."""
    return bool(chunk.get("usage")) or any(
        choice.get("finish_reason")
        or any(value is not None for value in (choice.get("delta") or {}).values())
        for choice in chunk["choices"]
    )
