"""A stream of a response folded into the whole response, or into as much of it as came.

    response.completed, .incomplete, .failed    the response itself, whole
    else                                        the response of the start, and its items: done ones as they are, open ones
                                                with the text that came, `incomplete`

Where a stream is anything else `assemble` raises Unfoldable: then keep the events themselves. Decides nothing about usage
or money. Source: contract §3.
"""

from typing import Any, Final

import msgspec

from ingot.dialects.cuts import load, mend_all
from ingot.dialects.fold import Unfoldable
from ingot.sse import DONE, EventTooLarge, SseSplitter, event_data

Json = dict[str, Any]

BEGINS: Final = frozenset({"response.created", "response.queued", "response.in_progress"})
ENDS: Final = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}
)
# The list of an item that a delta's text is in, by what names its place, and the member that holds the text there.
_PARTS: Final = {
    "response.output_text.delta": ("content", "content_index", "text", "output_text"),
    "response.refusal.delta": ("content", "content_index", "refusal", "refusal"),
    "response.reasoning_text.delta": ("content", "content_index", "text", "reasoning_text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_index", "text", "summary_text"),
}
_MEMBERS: Final = {
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
}
_SHELLS: Final = {
    "response.content_part.added": ("content", "content_index"),
    "response.content_part.done": ("content", "content_index"),
    "response.reasoning_summary_part.added": ("summary", "summary_index"),
    "response.reasoning_summary_part.done": ("summary", "summary_index"),
}

_encode = msgspec.json.Encoder().encode


class Assembly:
    """One stream on its way to a whole response."""

    __slots__ = ("_done", "_items", "_response", "whole")

    def __init__(self) -> None:
        self.whole = False
        """The stream told the whole response."""
        self._response: Json | None = None
        self._items: dict[int, Json] = {}
        self._done: set[int] = set()

    @property
    def begun(self) -> Json | None:
        """The response as its start told it; None where it did not begin."""
        return self._response

    def take(self, event: Json) -> None:
        """Takes the next event; one of an unknown kind says nothing that the end would not repeat."""
        kind = event.get("type")
        if type(kind) is not str:
            return
        if kind in BEGINS or kind in ENDS:
            response = event.get("response")
            if type(response) is dict:
                self._response = response
                self.whole = kind in ENDS
            return
        index = event.get("output_index")
        if type(index) is not int:
            return
        if kind in ("response.output_item.added", "response.output_item.done"):
            item = event.get("item")
            if type(item) is dict:
                self._items[index] = item
                if kind == "response.output_item.done":
                    self._done.add(index)
        elif index in self._items and index not in self._done:
            _grow(self._items[index], kind, event)

    def output(self) -> list[Json]:
        """The items, as far as they came."""
        return [
            item if index in self._done else _broken_off(item) for index, item in sorted(self._items.items())
        ]

    def response(self) -> Json:
        """The response, as far as it came; raises Unfoldable where it did not begin."""
        if self._response is None:
            raise Unfoldable("The stream holds no response.")
        return self._response if self.whole else {**self._response, "output": self.output()}


def assemble(events: bytes) -> bytes:
    """The response of a captured stream; raises Unfoldable."""
    assembly = assembled(events)
    response = assembly.response()
    if not assembly.whole:
        response = {**response, "status": "incomplete"}
    try:
        return _encode(mend_all(response))
    except (ValueError, OverflowError) as error:
        raise Unfoldable("The stream holds a value that JSON cannot say.") from error


def assembled(events: bytes) -> Assembly:
    """All of a captured stream; raises Unfoldable where it is none."""
    assembly = Assembly()
    splitter = SseSplitter(limit=len(events) + 2)
    try:
        # The end of the last event may be missing where the connection was closed behind it.
        for event in splitter.feed(events + b"\n\n"):
            data = event_data(event)
            if data is not None and not data.startswith(DONE):
                assembly.take(_object(data))
    except EventTooLarge as error:
        raise Unfoldable("The stream holds no events.") from error
    return assembly


def _object(data: bytes) -> Json:
    try:
        value = load(data)
    except ValueError as error:
        raise Unfoldable("The stream holds an event that is no JSON.") from error
    if type(value) is not dict:
        raise Unfoldable("The stream holds an event that is no object.")
    return value


def _grow(item: Json, kind: str, event: Json) -> None:
    delta = event.get("delta")
    if kind in _SHELLS:
        holder, name = _SHELLS[kind]
        part = event.get("part")
        if type(part) is dict:
            _place(item, holder, event.get(name), part)
    elif kind in _MEMBERS and type(delta) is str:
        held = item.get(_MEMBERS[kind])
        item[_MEMBERS[kind]] = (held if type(held) is str else "") + delta
    elif kind in _PARTS and type(delta) is str:
        holder, name, member, shape = _PARTS[kind]
        part = _part(item, holder, event.get(name)) or {"type": shape, member: ""}
        held = part.get(member)
        _place(item, holder, event.get(name), {**part, member: (held if type(held) is str else "") + delta})


def _part(item: Json, holder: str, index: object) -> Json | None:
    parts = item.get(holder)
    if type(parts) is not list or type(index) is not int or not 0 <= index < len(parts):
        return None
    return parts[index] if type(parts[index]) is dict else None


def _place(item: Json, holder: str, index: object, part: Json) -> None:
    parts = item.get(holder)
    if type(parts) is not list:
        parts = item[holder] = []
    if type(index) is not int or not 0 <= index <= len(parts):
        return
    parts[index : index + 1] = [part]


def _broken_off(item: Json) -> Json:
    return {**item, "status": "incomplete"} if "status" in item else item
