"""The rules on a whole response, kept by the events that spell it out.

    response.created ... .completed   the response: all rules
    response.output_item.*            the item: the rules below `output`
    response.content_part.*           a part of it: below `output.content`, of a summary below `output.summary`
    pieces and ends of them           gone where their field is taken out, or null; what else they tell by its name in the part

Words that come in pieces pass as they come: only whole values can be told otherwise. Knows nothing of the rules themselves.
"""

from typing import Final

from ingot import rawjson
from ingot.presets.event_rules import Event, EventRules, Level, every, members, none

# The list of an item that an event is about, None for the item itself, and the member that it tells.
_TOLD: Final[dict[str, tuple[str | None, str]]] = {
    "output_text": ("content", "text"),
    "output_text.annotation": ("content", "annotations"),
    "refusal": ("content", "refusal"),
    "reasoning_text": ("content", "text"),
    "reasoning_summary_text": ("summary", "text"),
    "function_call_arguments": (None, "arguments"),
    "custom_tool_call_input": (None, "input"),
    "mcp_call_arguments": (None, "arguments"),
    "code_interpreter_call_code": (None, "code"),
}
_PARTS: Final = {"content_part": "content", "reasoning_summary_part": "summary"}
_ITEM: Final = "output_item"
_PREFIX: Final = "response."
_WHOLE: Final = b'"response"'
# What an event says of itself; all else in it is of what it spells out.
_OWN: Final = frozenset(
    {
        "type", "sequence_number", "item_id", "output_index", "content_index", "summary_index", "annotation_index",
        "delta", "obfuscation", "annotation", "part", "item",
    }
)  # fmt: skip


class ResponseEvents(EventRules):
    """One stream."""

    __slots__ = ("_mute", "_output", "_top")

    def __init__(self, top: Level) -> None:
        self._top = top
        self._output = top.below("output")
        self._mute = top.silences("output")

    def feed(self, data: bytes) -> bytes | None:
        """What goes on of one event; its very bytes where nothing changes."""
        if self._output is None and not self._mute and _WHOLE not in data:
            return data
        return super().feed(data)

    def _ruled(self, kind: str, data: bytes, event: Event) -> bytes | None:
        if "response" in event:
            response = self._top.apply(bytes(event["response"]), every, every)
            return rawjson.splice_bytes(data, replace={"response": response})
        if "output_index" not in event or not kind.startswith(_PREFIX):
            return data
        if self._mute:
            return None
        if self._output is None:
            return data
        about = kind.removeprefix(_PREFIX).rpartition(".")[0]
        if about == _ITEM:
            return _spliced(data, event, "item", self._output)
        if about in _PARTS:
            holder = _PARTS[about]
            return (
                None
                if self._output.silences(holder)
                else _spliced(data, event, "part", self._output.below(holder))
            )
        return self._piece(about, data, event)

    def _piece(self, about: str, data: bytes, event: Event) -> bytes | None:
        """An event that tells a member of an item, or of one of its parts."""
        holder, member = _TOLD.get(about, (None, ""))
        level = self._output
        if holder is not None and level is not None:
            if level.silences(holder):
                return None
            level = level.below(holder)
        if level is None or not member:
            return data
        if level.silences(member):
            return None
        if member == "annotations":
            return _spliced(data, event, "annotation", level.below(member))
        told = {name: bytes(raw) for name, raw in event.items() if name not in _OWN}
        if not told:
            return data
        ruled = members.decode(level.apply(_object(told), none, none))
        changed = {name: bytes(raw) for name, raw in ruled.items()}
        return rawjson.splice_bytes(
            data, replace=changed, drop=[name for name in told if name not in changed]
        )


def _spliced(data: bytes, event: Event, name: str, level: Level | None) -> bytes:
    if level is None or name not in event:
        return data
    return rawjson.splice_bytes(data, replace={name: level.apply(bytes(event[name]))})


def _object(members: dict[str, bytes]) -> bytes:
    return b"{" + b",".join([b'"%b":%b' % (name.encode(), raw) for name, raw in members.items()]) + b"}"
