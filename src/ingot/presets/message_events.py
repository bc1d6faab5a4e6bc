"""The rules on a whole message, kept by the events that spell it out.

    message_start        the message as far as it is known: all rules, but nothing is filled in for its end
    content_block_start  the block: the rules below `content`
    content_block_delta  a piece of one of the block's fields: gone where that is taken out, or null
    message_delta        its end, with what is filled in for that, and its counts

Words that come in pieces pass as they come: only whole values can be told otherwise. Knows nothing of the rules themselves.
"""

from typing import Final

import msgspec

from ingot import rawjson
from ingot.presets.event_rules import Event, EventRules, Level, every, none

_LATE: Final = frozenset({"stop_reason", "stop_sequence", "stop_details"})
_FIELDS: Final = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "input",
    "citations_delta": "citations",
}


class _Delta(msgspec.Struct):
    type: str = ""


_delta = msgspec.json.Decoder(_Delta)


def _early(name: str) -> bool:
    return name not in _LATE


def _late(name: str) -> bool:
    return name in _LATE


class MessageEvents(EventRules):
    """One stream."""

    __slots__ = ("_content", "_mute", "_top")

    def __init__(self, top: Level) -> None:
        self._top = top
        self._content = top.below("content")
        self._mute = top.silences("content")

    def _ruled(self, kind: str, data: bytes, event: Event) -> bytes | None:
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

    def _ended(self, data: bytes, event: Event) -> bytes:
        replace: dict[str, bytes] = {}
        if "delta" in event:
            replace["delta"] = self._top.apply(bytes(event["delta"]), _late, none)
        drop = [name for name in event if name not in ("type", "delta", "usage") and self._top.silences(name)]
        counts = self._top.below("usage")
        if self._top.silences("usage"):
            drop.append("usage")
        elif "usage" in event and counts is not None:
            replace["usage"] = counts.apply(bytes(event["usage"]), none, none)
        return rawjson.splice_bytes(data, replace=replace, drop=drop)
