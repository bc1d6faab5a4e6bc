"""A deployment's constitution in the chat dialect: system text before all messages, and refusals that are told as such.

    messages: [...] --> messages: [{"role": "system", "content": principles}, ...]
    content: "[refusal] ..." --> refusal: "...", content: null

The text asks the model to begin a refusal with a mark; the mark is taken away here, and what follows moves to the field
that clients look for refusals in. Other answers keep their bytes. The principles come first and are always the same, so
that targets find them in their cache.
"""

from typing import Any

import msgspec

from ingot import rawjson
from ingot.dialects.answer import texts
from ingot.dialects.dialect import Call, Turn
from ingot.dialects.marks import Opening, Unmarked, refusal_in
from ingot.dialects.tap import ChatTap
from ingot.errors import Unsupported

_decode = msgspec.json.Decoder().decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def preface(call: Call, text: str) -> Call:
    """The call with principles before its first message, every other byte as it came."""
    body = rawjson.prefixed(call.body, "messages", {"role": "system", "content": text})
    return msgspec.structs.replace(call, body=body)


def refuse_preface(call: Call, text: str) -> Call:  # noqa: ARG001  # the dialects' signature
    """Refuses a request of a format that has no place for principles: without them the model is not asked."""
    raise Unsupported(
        f"The model '{call.model}' follows principles that this endpoint has no place for. Use "
        "/v1/chat/completions, /v1/responses or /v1/messages.",
        param="model",
        code="unsupported_endpoint",
    )


def leave_preface(call: Call, text: str) -> Call:  # noqa: ARG001  # the dialects' signature
    """The call itself: nothing is said in answer to it."""
    return call


def mark_refusals(answer: bytes, mark: str) -> bytes:
    """A whole answer with its refusals where clients look for them; the very bytes where there is none."""
    value = _decode_object(answer)
    marked = False
    for choice, message in texts(value, "message"):
        words = refusal_in(message["content"], mark)
        message["content"] = message["content"] or None
        if words is not None:
            message["refusal"] = words
            message["content"] = None
            _weigh(choice, "refusal", Unmarked(mark).feed(_tokens(choice), _text_of))
            marked = True
    return _encode(value) if marked else answer


class RefusalTap(ChatTap):
    """A tap that holds the first characters of each answer until it is known whether they are the mark."""

    __slots__ = ("_mark", "_openings", "_tokens", "_unmarked")

    def _begin(self, turn: Turn) -> None:
        super()._begin(turn)
        self._mark = turn.mark
        # By choice: its text, the log probabilities of what is held of it, those of a refusal without the mark.
        self._openings: dict[int, Opening] = {}
        self._tokens: dict[int, list[Any]] = {}
        self._unmarked: dict[int, Unmarked] = {}

    def feed(self, data: bytes) -> bytes | None:
        """What goes to the client of one event."""
        known = self._openings
        if len(known) >= self._call.n and all(each.refuses is False for each in known.values()):
            return super().feed(data)
        turned = self._turned(data)
        return None if turned is None else super().feed(turned)

    def _turned(self, data: bytes) -> bytes | None:
        try:
            chunk = _decode(data)
        except ValueError:
            return data
        found = list(texts(chunk, "delta"))
        turned = [self._turn(choice, delta) for choice, delta in found]
        if not any(turned):
            return data
        for _, delta in found:
            if delta.get("content") == "":
                del delta["content"]
        silent = not any(delta or choice.get("finish_reason") for choice, delta in found)
        return None if silent and not chunk.get("usage") else _encode(chunk)

    def _turn(self, choice: dict[str, Any], delta: dict[str, Any]) -> bool:
        """Puts the text of one choice where it belongs; whether that changed anything."""
        index = choice.get("index")
        index = index if type(index) is int else 0
        opening = self._openings.get(index)
        if opening is None:
            opening = self._openings[index] = Opening(self._mark)
        if opening.refuses is False:
            return False
        before = opening.held
        due = opening.feed(delta["content"])
        if due is None and choice.get("finish_reason"):
            due = opening.settle()
        if due is None:
            return self._hold(choice, delta, index)
        if opening.refuses:
            return self._refuse(choice, delta, index, due)
        delta["content"] = due
        if earlier := self._tokens.pop(index, None):
            _weigh(choice, "content", [*earlier, *_tokens(choice)])
        return bool(before)

    def _hold(self, choice: dict[str, Any], delta: dict[str, Any], index: int) -> bool:
        """Gives nothing yet of a piece that does not tell."""
        text, delta["content"] = delta["content"], ""
        if tokens := _tokens(choice):
            self._tokens.setdefault(index, []).extend(tokens)
            choice["logprobs"] = None
        return bool(text)

    def _refuse(self, choice: dict[str, Any], delta: dict[str, Any], index: int, text: str) -> bool:
        """Moves a piece of a refusal to where its words are looked for."""
        tokens = [*self._tokens.pop(index, ()), *_tokens(choice)]
        if tokens:
            unmarked = self._unmarked.setdefault(index, Unmarked(self._mark))
            _weigh(choice, "refusal", unmarked.feed(tokens, _text_of))
        if not delta["content"]:
            return bool(tokens)
        delta["content"] = ""
        if text:
            delta["refusal"] = text
        return True


def _tokens(choice: dict[str, Any]) -> list[Any]:
    """The log probabilities of a choice's text, or of the piece of it that a chunk brings."""
    told = choice.get("logprobs")
    tokens = told.get("content") if isinstance(told, dict) else None
    return tokens if isinstance(tokens, list) else []


def _weigh(choice: dict[str, Any], kind: str, tokens: list[Any]) -> None:
    """Makes these the log probabilities of a choice, where it has any."""
    told = choice.get("logprobs")
    if tokens or isinstance(told, dict):
        choice["logprobs"] = {**(told or {}), "content": None, "refusal": None, kind: tokens or None}


def _text_of(token: Any) -> str:
    text = token.get("token") if isinstance(token, dict) else None
    return text if isinstance(text, str) else ""
