"""The tap on a stream of named events: what each event becomes, and what the stream said of itself.

    message_start --model renamed, usage--> content_block_* --text by its frame--> message_delta --usage, reason--> message_stop

Until `message_delta` only the prompt is counted, for `message_start` tells a figure of the output that means nothing. An error of the
upstream is replaced by ours, and nothing that follows it makes the stream look whole. Knows no transport.
"""

import re
from typing import Any

import msgspec

from ingot import rawjson
from ingot.dialects.dialect import Turn
from ingot.dialects.envelope import USUAL
from ingot.dialects.frames import FramedTap
from ingot.dialects.messages_errors import encoder
from ingot.dialects.messages_usage import Tally
from ingot.dialects.taps import naming
from ingot.dialects.wordage import length_of, length_of_block
from ingot.errors import ApiError, UpstreamError, UpstreamUnavailable
from ingot.sse import BETWEEN, DONE, one_line

_FRAMED = re.compile(
    rb'(.*?"(?:text|thinking|partial_json)":\s*")(?!")[^"\\]*(?:\\.[^"\\]*)*(".*)', re.DOTALL
)
_TEXTS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


named_event = naming(str.isidentifier)


class MessagesTap(FramedTap):
    """Follows one stream; see `dialect.StreamTap` for what each attribute says."""

    __slots__ = ("_tally", "finished")

    encode = staticmethod(encoder(USUAL))
    framed = _FRAMED
    frame = staticmethod(named_event)

    def _begin(self, turn: Turn) -> None:
        super()._begin(turn)
        self._tally = Tally()
        self.finished = False
        """Whether the answer has its stop reason."""

    def _study(self, data: bytes) -> bytes | None:
        """`feed` for an event that may say more than the next piece of text."""
        given = self._read(data)
        if self._following is None or given is None or self.failed:
            return given
        ruled = self._following.feed(given)
        # A text goes on in the same frame only where nothing changes it.
        if ruled is not given:
            self._forget()
        return None if ruled is None else BETWEEN.join([one_line(each) for each in ruled.split(BETWEEN)])

    def _read(self, data: bytes) -> bytes | None:
        if self.done or data.startswith(DONE):
            return None  # some gateways end every stream as OpenAI does
        try:
            event = _decode(data)
        except (ValueError, RecursionError):
            return data  # not ours to mend: the client sees what the upstream wrote
        if type(event) is not dict:
            return data
        if event.get("type") == "error" or event.get("error"):
            self.failed = True
            return self.encode(_failure(event.get("error")), self.request_id)[1]
        match event.get("type"):
            case "message_start":
                return self._start(data, event.get("message"))
            case "content_block_start":
                self._open(event.get("content_block"))
            case "content_block_delta":
                self._grow(data, event.get("delta"))
            case "message_delta":
                self._note_end(event)
            case "message_stop":
                if self.failed:
                    return None
                self.done = True
        return data

    def _start(self, data: bytes, message: object) -> bytes:
        if type(message) is not dict:
            return data
        self._tally.add(message, self._path)
        self.usage = self._tally.prompt()
        if type(message.get("id")) is str:
            self.id = message["id"]
        if not self._renamed or message.get("model", self._public) == self._public:
            return data
        inner = rawjson.splice_bytes(
            _members.decode(data)["message"], replace={"model": _encode(self._public)}
        )
        return one_line(rawjson.splice_bytes(data, replace={"message": inner}))

    def _open(self, block: object) -> None:
        if _opens_with_output(block):
            self.deltas += 1
            self._add(length_of_block(block))

    def _grow(self, data: bytes, delta: object) -> None:
        text = _output(delta)
        if text:
            self.deltas += 1
            self._add(length_of(text))
            self._learn(data, data)

    def _note_end(self, event: dict[str, Any]) -> None:
        delta = event.get("delta")
        if type(delta) is dict and delta.get("stop_reason"):
            self.finished = True
        if self._tally.add(event, self._path):
            self.usage = self._tally.usage()
            self._counted = self.said


def _failure(told: object) -> ApiError:
    if type(told) is dict and told.get("type") == "overloaded_error":
        return UpstreamUnavailable("The upstream was overloaded while it was answering.")
    return UpstreamError("The upstream reported an error while it was answering.")


def _output(delta: object) -> str:
    """The text of a delta; empty where it has none."""
    if type(delta) is not dict:
        return ""
    kind = delta.get("type")
    name = _TEXTS.get(kind) if type(kind) is str else None
    text = None if name is None else delta.get(name)
    return text if type(text) is str else ""


def _opens_with_output(block: object) -> bool:
    """Whether a block says something already as it begins: the call of a tool does, an empty text does not."""
    if type(block) is not dict:
        return False
    kind = block.get("type")
    if kind in {"text", "thinking"}:
        return bool(block.get(kind))
    return True
