"""A deployment's constitution in the responses dialect: before `instructions`, and refusals that are told as such.

    instructions: "Mine." --> instructions: principles, an empty line, "Mine."
    output_text: "[refusal] ..." --> refusal: "..."

The answer tells the client's own instructions: `responses_stamp`. The mark is taken from the first text of an answer; its
events wait until it is clear which it is, and those that said only the mark leave no gap in the numbers.
"""

from typing import Any, Final

import msgspec

from ingot import rawjson
from ingot.dialects.dialect import Call, Turn
from ingot.dialects.marks import Opening, refusal_in
from ingot.dialects.responses_fold import ENDS
from ingot.dialects.responses_tap import ResponsesTap, named_event
from ingot.dialects.turning import Taps
from ingot.sse import BETWEEN

Json = dict[str, Any]

_TEXT: Final = "output_text"
_NUMBER: Final = "sequence_number"

_decode = msgspec.json.Decoder().decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def preface(call: Call, text: str) -> Call:
    """The call with principles before its instructions, every other value as it came."""
    told = call.body.value.get("instructions")
    instructions = f"{text}\n\n{told}" if told else text
    data = rawjson.splice(call.body, replace={"instructions": _encode(instructions)})
    body = rawjson.Body(data, {**call.body.value, "instructions": instructions})
    return msgspec.structs.replace(call, body=body)


def turn_back(answer: bytes, turn: Turn) -> bytes:
    """A whole answer with its refusal where clients look for one; the very bytes where there is none."""
    if turn.kind != "refusal":
        return answer
    value = _decode_object(answer)
    return _encode(value) if _turn(value.get("output"), turn.mark) else answer


def _turn(output: object, mark: str) -> bool:
    """Turns the first text of these items, if it refuses; whether it does."""
    for item in output if type(output) is list else ():
        told = item.get("content") if type(item) is dict and item.get("type") == "message" else None
        content: list[Any] = told if type(told) is list else []
        for place, part in enumerate(content):
            if type(part) is dict and part.get("type") == _TEXT and type(part.get("text")) is str:
                text = refusal_in(part["text"], mark)
                if text is None:
                    return False
                content[place] = {"type": "refusal", "refusal": text}
                return True
    return False


class ResponsesRefusalTap(ResponsesTap):
    """A tap that holds the first events of an answer's first text until it is known whether it begins with the mark."""

    __slots__ = ("_held", "_mark", "_opening", "_place", "_spared")

    def _begin(self, turn: Turn) -> None:
        super()._begin(turn)
        self._mark = turn.mark
        # Of the first text: its place, how it begins, and the events that told that.
        self._place: tuple[Any, Any] | None = None
        self._opening = Opening(turn.mark)
        self._held: list[bytes] = []
        # Events that were not given, by which later numbers are lower.
        self._spared = 0

    def feed(self, data: bytes) -> bytes | None:
        """What goes to the client of one event; several are joined by `sse.BETWEEN`."""
        if self._opening.refuses is False:
            return super().feed(data)
        due = self._due(data)
        if len(due) == 1 and due[0] is data:
            return super().feed(data)
        follow = super().feed
        given = [told for each in due if (told := follow(each)) is not None]
        return BETWEEN.join(given) if given else None

    def _due(self, data: bytes) -> list[bytes]:
        """The events that are due with this one."""
        try:
            event = _decode(data)
        except (ValueError, RecursionError):
            return [data]
        if type(event) is not dict:
            return [data]
        if self._opening.refuses:
            return [self._told(event)] if self._changed(event) or self._spared else [data]
        kind, part, delta = event.get("type"), event.get("part"), event.get("delta")
        if self._place is None:
            if kind != "response.content_part.added" or type(part) is not dict or part.get("type") != _TEXT:
                return [data]
            self._place = (event.get("output_index"), event.get("content_index"))
            return self._weigh(data, event, part.get("text"))
        if kind == "response.output_text.delta" and self._is_here(event):
            return self._weigh(data, event, delta)
        self._opening.settle()
        return [*self._released(), data]

    def _is_here(self, event: Json) -> bool:
        return (event.get("output_index"), event.get("content_index")) == self._place

    def _released(self) -> list[bytes]:
        held, self._held = self._held, []
        return held

    def _weigh(self, data: bytes, event: Json, piece: object) -> list[bytes]:
        """Decides as soon as the first characters tell."""
        self._held.append(data)
        due = self._opening.feed(piece if type(piece) is str else "")
        if due is None:
            return []
        return self._turned(event, due) if self._opening.refuses else self._released()

    def _turned(self, last: Json, text: str) -> list[bytes]:
        """The beginning of a refusal in place of what was held."""
        first, *deltas = self._released()
        opened = _decode_object(first)
        opened["part"] = {"type": "refusal", "refusal": "" if deltas else text}
        told = [_encode(opened)]
        self._spared = len(deltas) - bool(text and deltas)
        if text and deltas:
            told.append(self._told({**last, "type": "response.refusal.delta", "delta": text}))
        return told

    def _told(self, event: Json) -> bytes:
        """An event of a refusal, under its number now."""
        if type(event.get(_NUMBER)) is int:
            event[_NUMBER] -= self._spared
        if event.get("type") == "response.refusal.delta":
            event.pop("logprobs", None)
        return _encode(event)

    def _changed(self, event: Json) -> bool:
        """Turns an event that tells the text, or the answer; whether it is one."""
        kind = event.get("type")
        if kind == "response.output_text.delta" and self._is_here(event) and type(event.get("delta")) is str:
            event.update(type="response.refusal.delta", delta=self._opening.feed(event["delta"]))
        elif kind == "response.output_text.done" and self._is_here(event):
            text = refusal_in(str(event.pop("text", "")), self._mark) or ""
            event.pop("logprobs", None)
            event.update(type="response.refusal.done", refusal=text)
        elif kind == "response.content_part.done" and self._is_here(event):
            part = event.get("part") or {}
            event["part"] = {
                "type": "refusal",
                "refusal": refusal_in(str(part.get("text")), self._mark) or "",
            }
        elif (
            kind == "response.output_item.done"
            and self._place
            and event.get("output_index") == self._place[0]
        ):
            return _turn([event.get("item")], self._mark)
        elif kind in ENDS and type(event.get("response")) is dict:
            return _turn(event["response"].get("output"), self._mark)
        else:
            return False
        return True


TAPS: Final = Taps(
    {"none": ResponsesTap, "call": ResponsesTap, "refusal": ResponsesRefusalTap}, frame=named_event
)
