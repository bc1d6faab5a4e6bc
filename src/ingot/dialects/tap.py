"""The tap on a chat or completions stream: what each event becomes, and what the stream said of itself.

    data --same frame--> the same bytes, or another frame around the same text     (nearly every event: 0.8 us)
    data --any other---> decoded: first and last events, usage, errors, [DONE], whatever looks new     (4 to 9 us)

The upper row is `frames`. Renaming the model or dropping `usage: null` is then another frame, made once. Knows no transport.
An error object of the upstream is replaced by ours, under the table that the tap is dressed in: its text is not for
strangers.
"""

import re
from typing import Any

import msgspec

from ingot import rawjson
from ingot.dialects.dialect import Turn
from ingot.dialects.envelope import USUAL, encoder
from ingot.dialects.frames import FramedTap
from ingot.dialects.usage import read_id, usage_at
from ingot.dialects.wordage import length_of_choice
from ingot.errors import UpstreamError
from ingot.sse import BETWEEN, DONE, encode_event, one_line

# A chunk, cut before and after the first text in it that is not empty.
_FRAMED = re.compile(
    rb'(.*?"(?:content|reasoning_content|reasoning|arguments|text)":\s*")(?!")[^"\\]*(?:\\.[^"\\]*)*(".*)',
    re.DOTALL,
)

_TEXT = re.compile(rb'"(?:content|reasoning_content|reasoning|arguments|text)":\s*"(?!")')

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class ChatTap(FramedTap):
    """Follows one stream; see `dialect.StreamTap` for what each attribute says."""

    __slots__ = ("_reasons",)

    encode = staticmethod(encoder(USUAL))
    framed = _FRAMED
    frame = staticmethod(encode_event)

    def _begin(self, turn: Turn) -> None:
        super()._begin(turn)
        self._reasons: dict[int, str] = {}

    @property
    def finished(self) -> bool:
        """Whether each answer asked for has its finish reason."""
        return len(self._reasons) >= self._call.n

    @property
    def reasons(self) -> tuple[str, ...]:
        """The finish reasons that came, by the answers' index."""
        return tuple(self._reasons[index] for index in sorted(self._reasons))

    def _study(self, data: bytes) -> bytes | None:
        """`feed` for an event that may say more than the next piece of text."""
        if data.startswith(DONE):
            self.done = True
            return None if self.failed else self._finish(data)
        try:
            chunk = _decode(data)
        except (ValueError, RecursionError):
            return data  # not ours to mend: the client sees what the upstream wrote
        if type(chunk) is not dict:
            return data
        if chunk.get("error") or chunk.get("object") == "error":
            self.failed = True
            error = UpstreamError("The upstream reported an error while it was answering.")
            return self.encode(error, self.request_id)[1]
        told = usage_at(chunk, self._path)
        if told is not None:
            self.usage = told
        only_text = self._note(chunk.get("choices"))
        if told is not None:
            self._counted = self.said
        given = self._reshape(self._rewrite(data, chunk))
        if self.id is None and given is not None:
            self.id = _id(chunk) if self._following is None else read_id(given)
        if only_text and given is not None and told is None and not chunk.get("usage"):
            self._learn(data, given)
        return given

    def _reshape(self, data: bytes | None) -> bytes | None:
        """What the preset makes of a chunk."""
        if self._following is None or data is None:
            return data
        given = self._following.feed(data)
        if given is None or given is data:
            return given
        return BETWEEN.join([one_line(each) for each in given.split(BETWEEN)])

    def _finish(self, data: bytes) -> bytes:
        """The dialect's end, and before it what was held back."""
        held = None if self._following is None else self._following.end()
        return data if held is None else held + BETWEEN + data

    def _note(self, choices: object) -> bool:
        """Counts what the choices say; whether it is one choice with output, and no end."""
        said = 0
        ended = False
        if type(choices) is not list:
            return False
        for choice in choices:
            if type(choice) is not dict:
                continue
            if _says_something(choice):
                said += 1
                self._add(length_of_choice(choice))
            reason = choice.get("finish_reason")
            index = choice.get("index")
            if type(reason) is str and reason:
                self._reasons[index if type(index) is int else 0] = reason
                ended = True
        self.deltas += said
        return said == 1 and not ended and len(choices) == 1

    def _learn(self, data: bytes, given: bytes) -> None:
        # Where chunks are changed, one text of several may be all that differs.
        if self._following is None or len(_TEXT.findall(data)) == 1:
            super()._learn(data, given)

    def _rewrite(self, data: bytes, chunk: dict[str, Any]) -> bytes | None:
        drop: tuple[str, ...] = ()
        replace: dict[str, bytes] = {}
        if "usage" in chunk and not self._call.wants_usage:
            if chunk.get("choices") == [] and chunk["usage"]:
                return None
            drop = ("usage",)
        if self._renamed and chunk.get("model", self._public) != self._public:
            replace["model"] = _encode(self._public)
        if not drop and not replace:
            return data
        return one_line(rawjson.splice_bytes(data, replace=replace, drop=drop))


def _id(chunk: dict[str, Any]) -> str | None:
    told = chunk.get("id")
    return told if type(told) is str else None


def _says_something(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta")
    if type(delta) is dict:
        return any(value for key, value in delta.items() if key != "role")
    return bool(choice.get("text"))
