"""A stream of named events folded into the whole message that it spelled out.

    message_start     the message, but for its content
    content_block_*   blocks by index: texts grow, JSON is read once it is whole, citations are a list
    message_delta     stop reason and usage, over what was said before

Unknown fields stay. Where a stream is anything else, an error or a delta that is not understood, `assemble` raises
Unfoldable: then keep the events themselves. Decides nothing about usage or money. Merging as Anthropic's clients do.
"""

from typing import Any

import msgspec

from ingot.dialects.cuts import load, mend
from ingot.dialects.fold import Unfoldable
from ingot.sse import EventTooLarge, SseSplitter, event_data

Json = dict[str, Any]

_GROWING = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}

_encode = msgspec.json.Encoder().encode


class _Block:
    """One content block, as far as it has come."""

    __slots__ = ("_inputs", "_start", "_texts")

    def __init__(self, start: Json) -> None:
        self._start = start
        self._texts: dict[str, list[str]] = {}
        self._inputs: list[str] = []

    def merge(self, delta: Json) -> None:
        """Takes a delta; raises Unfoldable."""
        kind = delta.get("type")
        name = _GROWING.get(kind) if type(kind) is str else None
        if name is not None:
            self._texts.setdefault(name, []).append(_string(delta.get(name)))
        elif kind == "input_json_delta":
            self._inputs.append(_string(delta.get("partial_json")))
        elif kind == "citations_delta":
            self._start["citations"] = [*(self._start.get("citations") or ()), delta.get("citation")]
        else:
            raise Unfoldable("The stream holds a delta of an unknown kind.")

    def whole(self) -> Json:
        """The block of a whole message; raises Unfoldable."""
        block = dict(self._start)
        for name, pieces in self._texts.items():
            block[name] = mend("".join([_string(block.get(name) or ""), *pieces]))
        if text := "".join(self._inputs):
            block["input"] = _load(mend(text).encode())
        return block


class _Assembly:
    """One stream on its way to a whole message."""

    __slots__ = ("_blocks", "_message")

    def __init__(self) -> None:
        self._message: Json | None = None
        self._blocks: dict[int, _Block] = {}

    def take(self, event: Json) -> None:
        """Takes the next event; raises Unfoldable."""
        match event.get("type"):
            case "message_start":
                if self._message is not None:
                    raise Unfoldable("The stream holds two messages.")
                self._message = dict(_object(event.get("message")))
            case "content_block_start":
                self._blocks[_index(event)] = _Block(dict(_object(event.get("content_block"))))
            case "content_block_delta":
                block = self._blocks.get(_index(event))
                if block is None:
                    raise Unfoldable("A delta belongs to no block.")
                block.merge(_object(event.get("delta")))
            case "message_delta":
                self._end(event)
            case "content_block_stop" | "message_stop" | "ping":
                pass
            case _:
                raise Unfoldable("The stream holds an event of an unknown kind.")

    def _end(self, event: Json) -> None:
        message = _object(self._message)
        message |= _object(event.get("delta"))
        if type(event.get("usage")) is dict:
            told = {name: value for name, value in event["usage"].items() if value is not None}
            message["usage"] = {**_object(message.get("usage") or {}), **told}
        for name, value in event.items():
            if name not in {"type", "delta", "usage"}:
                message[name] = value

    def answer(self) -> bytes:
        """The message as JSON; raises Unfoldable."""
        message = _object(self._message)
        message["content"] = [self._blocks[index].whole() for index in sorted(self._blocks)]
        try:
            return _encode(message)
        except (ValueError, OverflowError) as error:
            raise Unfoldable("The stream holds a value that JSON cannot say.") from error


def assemble(events: bytes) -> bytes:
    """The whole message of a captured stream; raises Unfoldable."""
    assembly = _Assembly()
    splitter = SseSplitter(limit=len(events) + 2)
    try:
        # The end of the last event may be missing where the connection was closed behind it.
        for event in splitter.feed(events + b"\n\n"):
            data = event_data(event)
            if data is not None:
                assembly.take(_object(_load(data)))
    except EventTooLarge as error:
        raise Unfoldable("The stream holds no events.") from error
    return assembly.answer()


def _load(data: bytes) -> Any:
    try:
        return load(data)
    except ValueError as error:
        raise Unfoldable("The stream holds an event that is no JSON.") from error


def _object(value: Any) -> Json:
    if type(value) is not dict:
        raise Unfoldable("The stream holds something else where an object is expected.")
    return value


def _string(value: Any) -> str:
    if type(value) is not str:
        raise Unfoldable("A text is no string.")
    return value


def _index(event: Json) -> int:
    index = event.get("index")
    if type(index) is not int:
        raise Unfoldable("A block's index is no integer.")
    return index
