"""A deployment's constitution in the messages dialect: the first text of `system`, and refusals that are told as such.

    system: "Mine." --> system: [{"type": "text", "text": principles, "cache_control": ...}, {"type": "text", "text": "Mine."}]
    text: "[refusal] ...", stop_reason: end_turn --> text: "...", stop_reason: refusal, stop_details

The breakpoint behind the principles makes targets keep them, whatever follows. It stands where the client set none: one of
the client's own covers them, of which a target takes four. The mark of a refusal is taken from the first text of an answer.
"""

from typing import Any, Final

import msgspec

from ingot import rawjson
from ingot.dialects.dialect import Call, Turn
from ingot.dialects.finishes import REFUSED
from ingot.dialects.marks import Opening, refusal_in
from ingot.dialects.messages_tap import MessagesTap, named_event
from ingot.dialects.turning import Taps
from ingot.sse import BETWEEN

BREAKPOINT: Final = {"type": "ephemeral"}
_CACHE: Final = "cache_control"

_decode = msgspec.json.Decoder().decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def preface(call: Call, text: str) -> Call:
    """The call with principles as the first text of `system`, every other value as it came."""
    body = call.body
    block: dict[str, Any] = {"type": "text", "text": text}
    if not _sets_breakpoints(body.value):
        block[_CACHE] = BREAKPOINT
    told = body.value.get("system")
    if isinstance(told, list) and told:
        return msgspec.structs.replace(call, body=rawjson.prefixed(body, "system", block))
    system = [block, {"type": "text", "text": told}] if told else [block]
    data = rawjson.splice(body, replace={"system": _encode(system)})
    return msgspec.structs.replace(call, body=rawjson.Body(data, {**body.value, "system": system}))


def _sets_breakpoints(value: dict[str, Any]) -> bool:
    """Whether the client says itself what of its prompt is worth keeping."""
    if value.get(_CACHE):
        return True
    system, tools = value.get("system"), value.get("tools")
    held = [*(system if isinstance(system, list) else ()), *(tools or ())]
    for message in value["messages"]:
        content = message["content"]
        for block in content if isinstance(content, list) else ():
            held.append(block)
            inner = block.get("content")
            held += inner if isinstance(inner, list) else ()
    return any(isinstance(each, dict) and each.get(_CACHE) for each in held)


def turn_back(answer: bytes, turn: Turn) -> bytes:
    """A whole answer whose refusal is told as one; the very bytes where there is none."""
    if turn.kind != "refusal":
        return answer
    value = _decode_object(answer)
    content = value.get("content")
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict) and block.get("type") == "text" and isinstance(block.get("text"), str):
            words = refusal_in(block["text"], turn.mark)
            if words is None:
                break
            block["text"] = words
            _end(value)
            return _encode(value)
    return answer


def _end(held: dict[str, Any]) -> None:
    """Says of an answer that it refused, unless it was cut or calls a tool."""
    if held.get("stop_reason") == "end_turn":
        held.update(stop_reason="refusal", stop_details=REFUSED)


class MessagesRefusalTap(MessagesTap):
    """A tap that holds the first characters of an answer's first text until it is known whether they are the mark."""

    __slots__ = ("_index", "_opening")

    def _begin(self, turn: Turn) -> None:
        super()._begin(turn)
        # Of the first text: its place, and how it begins.
        self._index: int | None = None
        self._opening = Opening(turn.mark)

    def feed(self, data: bytes) -> bytes | None:
        """What goes to the client of one event; two are joined by `sse.BETWEEN`."""
        if self._opening.refuses is False:
            return super().feed(data)
        turned = self._turned(data)
        if isinstance(turned, bytes):
            return super().feed(data)
        follow = super().feed
        given = [told for each in turned if (told := follow(each)) is not None]
        return BETWEEN.join(given) if given else None

    def _turned(self, data: bytes) -> bytes | list[bytes]:
        """`data` itself where it stays, else the events in its place."""
        try:
            event = _decode(data)
        except (ValueError, RecursionError):
            return data
        if type(event) is not dict:
            return data
        match event.get("type"):
            case "content_block_start":
                return self._enter(data, event)
            case "content_block_delta" if event.get("index") == self._index:
                return self._weigh(data, event)
            case "message_delta" if self._opening.refuses and type(event.get("delta")) is dict:
                _end(event["delta"])
                return [_encode(event)]
            case "content_block_delta" | "ping" | "message_start":
                return data
        # The text, or all, has ended before it was clear.
        return self._answer(data)

    def _enter(self, data: bytes, event: dict[str, Any]) -> bytes | list[bytes]:
        """Takes note of the first text; what it begins with counts as its first piece."""
        block = event.get("content_block")
        if self._index is not None or type(block) is not dict or block.get("type") != "text":
            return data
        self._index = event.get("index")
        text = block.get("text")
        if type(text) is not str or not text:
            return data
        block["text"] = ""
        return [_encode(event), *self._piece(text)]

    def _weigh(self, data: bytes, event: dict[str, Any]) -> bytes | list[bytes]:
        delta = event.get("delta")
        text = delta.get("text") if type(delta) is dict and delta.get("type") == "text_delta" else None
        if type(text) is not str:
            return self._answer(data)
        before = self._opening.held
        told = self._piece(text)
        return data if self._opening.refuses is False and not before else told

    def _piece(self, text: str) -> list[bytes]:
        """What is told once this piece of the first text has come."""
        due = self._opening.feed(text)
        return [self._delta(due)] if due else []

    def _answer(self, data: bytes) -> bytes | list[bytes]:
        """An event behind a text that is an answer, for it did not become a refusal."""
        if self._opening.refuses or self._index is None:
            return data
        held = self._opening.settle()
        return [self._delta(held), data] if held else data

    def _delta(self, text: str) -> bytes:
        return _encode(
            {
                "type": "content_block_delta",
                "index": self._index,
                "delta": {"type": "text_delta", "text": text},
            }
        )


TAPS: Final = Taps(
    {"none": MessagesTap, "call": MessagesTap, "refusal": MessagesRefusalTap}, frame=named_event
)
