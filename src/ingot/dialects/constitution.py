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
from ingot.dialects.tap import ChatTap
from ingot.dialects.unmarked import Unmarked
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
        content = message["content"].lstrip()
        message["content"] = message["content"] or None
        if content.startswith(mark):
            message["refusal"] = content[len(mark) :].lstrip()
            message["content"] = None
            _weigh(choice, "refusal", Unmarked(mark).feed(_tokens(choice), _text_of))
            marked = True
    return _encode(value) if marked else answer


class RefusalTap(ChatTap):
    """A tap that holds the first characters of each answer until it is known whether they are the mark."""

    __slots__ = ("_begun", "_held", "_mark", "_refusing", "_tokens", "_unmarked")

    def _begin(self, turn: Turn) -> None:
        super()._begin(turn)
        self._mark = turn.mark
        # The text of answers that have not told yet; once they have, whether they refuse.
        self._held: dict[int, str] = {}
        self._refusing: dict[int, bool] = {}
        # The log probabilities of those texts, and of refusals without the mark.
        self._tokens: dict[int, list[Any]] = {}
        self._unmarked: dict[int, Unmarked] = {}
        # The refusals of which something was said.
        self._begun: set[int] = set()

    def feed(self, data: bytes) -> bytes | None:
        """What goes to the client of one event."""
        if len(self._refusing) >= self._call.n and not any(self._refusing.values()):
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
        if index not in self._refusing:
            return self._weigh(choice, delta, index)
        return self._refusing[index] and self._refuse(choice, delta, index, delta["content"])

    def _refuse(self, choice: dict[str, Any], delta: dict[str, Any], index: int, text: str) -> bool:
        """Moves a piece of a refusal, which begins behind the space that follows the mark."""
        tokens = [*self._tokens.pop(index, ()), *_tokens(choice)]
        if tokens:
            unmarked = self._unmarked.setdefault(index, Unmarked(self._mark))
            _weigh(choice, "refusal", unmarked.feed(tokens, _text_of))
        if not delta["content"]:
            return bool(tokens)
        delta["content"] = ""
        if index not in self._begun:
            text = text.lstrip()
        if text:
            self._begun.add(index)
            delta["refusal"] = text
        return True

    def _weigh(self, choice: dict[str, Any], delta: dict[str, Any], index: int) -> bool:
        """Decides about an answer as soon as its first characters tell."""
        before, text = self._held.get(index, ""), delta["content"]
        whole = before + text
        begun = whole.lstrip()
        if begun.startswith(self._mark):
            self._refusing[index] = True
            return self._refuse(choice, delta, index, begun[len(self._mark) :])
        if self._mark.startswith(begun) and not choice.get("finish_reason"):
            self._held[index] = whole
            delta["content"] = ""
            if tokens := _tokens(choice):
                self._tokens.setdefault(index, []).extend(tokens)
                choice["logprobs"] = None
            return bool(text)
        self._refusing[index] = False
        delta["content"] = whole
        if earlier := self._tokens.pop(index, None):
            _weigh(choice, "content", [*earlier, *_tokens(choice)])
        return bool(before)


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
