"""The rules on a whole message, kept by the events that spell it out.

    message_start        the message as far as it is known: all rules, but nothing is filled in for its end
    content_block_start  the block: the rules below `content`
    content_block_delta  a piece of one of the block's fields: gone where that is taken out, or null
    message_delta        its end, with what is filled in for that, and its counts

Words that come in pieces pass as they come: only whole values can be told otherwise. Knows nothing of the rules themselves.
"""

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from ingot import rawjson

Fills = Callable[[str], bool]
"""Whether a field that is missing is filled in, by its name."""

_LATE: Final = frozenset({"stop_reason", "stop_sequence", "stop_details"})
_FIELDS: Final = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "input",
    "citations_delta": "citations",
}


class Level(Protocol):
    """The rules on the members of one object."""

    def apply(self, data: bytes, fills: Fills = ..., inner: Fills = ...) -> bytes:
        """The object as the rules leave it; `inner` counts for what lies below."""
        ...

    def below(self, name: str) -> "Level | None":
        """The rules on the members of what is found under a name."""
        ...

    def silences(self, name: str) -> bool:
        """Whether nothing of what the target gave under a name goes on."""
        ...


class _Delta(msgspec.Struct):
    type: str = ""


_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)
_delta = msgspec.json.Decoder(_Delta)


def every(_: str) -> bool:
    """All are."""
    return True


def _none(_: str) -> bool:
    return False


def _early(name: str) -> bool:
    return name not in _LATE


def _late(name: str) -> bool:
    return name in _LATE


class MessageEvents:
    """One stream."""

    __slots__ = ("_content", "_mute", "_top")

    def __init__(self, top: Level) -> None:
        self._top = top
        self._content = top.below("content")
        self._mute = top.silences("content")

    def feed(self, data: bytes) -> bytes | None:
        """What goes on of one event; its very bytes where nothing changes."""
        try:
            event = _members.decode(data)
            kind = _text.decode(event.get("type", msgspec.Raw(b'""')))
            return self._ruled(kind, data, event)
        except msgspec.DecodeError:
            return data  # not ours to mend: the client sees what the upstream wrote

    def end(self) -> bytes | None:
        """Nothing was held back."""
        return None

    def _ruled(self, kind: str, data: bytes, event: dict[str, msgspec.Raw]) -> bytes | None:
        match kind:
            case "message_start" if "message" in event:
                message = self._top.apply(bytes(event["message"]), _early, every)
                return rawjson.splice_bytes(data, replace={"message": message})
            case "message_delta":
                return self._ended(data, event)
            case "content_block_start" | "content_block_delta" | "content_block_stop" if self._mute:
                return None
            case "content_block_start" if self._content is not None and "content_block" in event:
                block = self._content.apply(bytes(event["content_block"]))
                return rawjson.splice_bytes(data, replace={"content_block": block})
            case "content_block_delta" if self._content is not None and "delta" in event:
                field = _FIELDS.get(_delta.decode(event["delta"]).type)
                return None if field is not None and self._content.silences(field) else data
        return data

    def _ended(self, data: bytes, event: dict[str, msgspec.Raw]) -> bytes:
        replace: dict[str, bytes] = {}
        if "delta" in event:
            replace["delta"] = self._top.apply(bytes(event["delta"]), _late, _none)
        drop = [name for name in event if name not in ("type", "delta", "usage") and self._top.silences(name)]
        counts = self._top.below("usage")
        if self._top.silences("usage"):
            drop.append("usage")
        elif "usage" in event and counts is not None:
            replace["usage"] = counts.apply(bytes(event["usage"]), _none, _none)
        return rawjson.splice_bytes(data, replace=replace, drop=drop)
