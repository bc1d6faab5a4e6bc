"""The tap on a chat or completions stream: what each event becomes, and what the stream said of itself.

    data --same frame--> the same bytes, or another frame around the same text     (nearly every event: 0.8 us)
    data --any other---> decoded: first and last events, usage, errors, [DONE], whatever looks new     (4 to 9 us)

A frame is a chunk without its text: the bytes before it and the bytes after it. Once a chunk was decoded and found
to be nothing but text, a chunk with the same frame is that too, as long as no quote in its text ends the string.
Renaming the model or dropping `usage: null` is then another frame, made once. What was given is kept for the store the
same way, texts in one frame joined: 0.1 us a chunk; how much text came is measured where they are, not chunk by chunk.
Knows no transport. An error object of the upstream is replaced by ours, under the table that the tap is dressed in: its
text is not for strangers.
"""

import re
from typing import Any, ClassVar

import msgspec

from ingot import rawjson
from ingot.dialects.dialect import Call, Reshape, Said, Usage
from ingot.dialects.envelope import USUAL, ErrorTable, error_data
from ingot.dialects.usage import USAGE, read_id, usage_at
from ingot.dialects.wordage import length_in_json, length_of_choice
from ingot.errors import UpstreamError
from ingot.sse import BETWEEN, DONE, encode_event

# A chunk, cut before and after the first text in it that is not empty.
_FRAMED = re.compile(
    rb'(.*?"(?:content|reasoning_content|reasoning|arguments|text)":\s*")(?!")[^"\\]*(?:\\.[^"\\]*)*(".*)',
    re.DOTALL,
)

_TEXT = re.compile(rb'"(?:content|reasoning_content|reasoning|arguments|text)":\s*"(?!")')

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class ChatTap:
    """Follows one stream; see `dialect.StreamTap` for what each attribute says."""

    __slots__ = (
        "_call",
        "_characters",
        "_counted",
        "_events",
        "_following",
        "_head",
        "_least",
        "_new_head",
        "_new_tail",
        "_path",
        "_public",
        "_reasons",
        "_size",
        "_tail",
        "_texts",
        "deltas",
        "done",
        "failed",
        "id",
        "usage",
    )

    errors: ClassVar[ErrorTable] = USUAL
    reshape: ClassVar[Reshape | None] = None

    @staticmethod
    def dressed(table: ErrorTable, changes: Reshape | None = None, /) -> "type[ChatTap]":
        """The tap whose errors look as `table` says; a class of its own, so that no stream pays for it."""

        class Dressed(ChatTap):
            __slots__ = ()
            errors = table
            reshape = changes

        return Dressed

    def __init__(self, call: Call, *, model: str, public: str, usage: tuple[str, ...] = USAGE) -> None:
        self.usage: Usage | None = None
        self.deltas = 0
        self.done = False
        self.failed = False
        self._call = call
        self._path = usage
        self._public = None if public == model else public
        self._following = None if self.reshape is None else self.reshape.follow()
        self._reasons: dict[int, str] = {}
        self._head = b""
        self._tail = b""
        self._new_head: bytes | None = None
        self._new_tail = b""
        # Bytes that the frame has without any text; no chunk is as long as this one.
        self._least = 2**62
        self.id: str | None = None
        # What went to the client: whole events, and the texts of those that share the frame of now.
        self._events: list[bytes] = []
        self._texts: list[bytes] = []
        # The text that came, but for `_texts`; and what had come when the upstream told its usage last.
        self._characters = 0
        self._size = 0
        self._counted = (0, 0, 0)

    @property
    def given(self) -> bytes:
        """What the client was given, as a stream with fewer events: texts in the same frame are one (JSON text joins)."""
        self._join()
        return b"".join([encode_event(event) for event in self._events])

    @property
    def said(self) -> Said:
        """All output that came."""
        self._join()
        return Said(self.deltas, self._characters, self._size)

    @property
    def uncounted(self) -> Said:
        """What came of it after the upstream told its usage last."""
        self._join()
        pieces, characters, size = self._counted
        return Said(self.deltas - pieces, self._characters - characters, self._size - size)

    @property
    def finished(self) -> bool:
        """Whether each answer asked for has its finish reason."""
        return len(self._reasons) >= self._call.n

    @property
    def reasons(self) -> tuple[str, ...]:
        """The finish reasons that came, by the answers' index."""
        return tuple(self._reasons[index] for index in sorted(self._reasons))

    def feed(self, data: bytes) -> bytes | None:
        """What goes to the client: `data` itself where nothing changes, other bytes, or None for nothing."""
        # Longer than the frame: a chunk without any text is no output, and is looked at.
        if len(data) > self._least and data.startswith(self._head) and data.endswith(self._tail):
            text = data[len(self._head) : len(data) - len(self._tail)]
            if b'"' not in text or (b"\\\\" not in text and text.count(b'"') == text.count(b'\\"')):
                self.deltas += 1
                self._texts.append(text)
                return data if self._new_head is None else self._new_head + text + self._new_tail
        self._join()
        given = self._study(data)
        if given is not None:
            self._events.append(given)
        return given

    def _join(self) -> None:
        """Makes one event of the texts that came in one frame; called before the frame changes."""
        if self._texts:
            text = b"".join(self._texts)
            self._texts.clear()
            self._add(length_in_json(text))
            if self._new_head is None:
                self._events.append(self._head + text + self._tail)
            else:
                self._events.append(self._new_head + text + self._new_tail)

    def _add(self, length: tuple[int, int]) -> None:
        self._characters += length[0]
        self._size += length[1]

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
            return error_data(error, "", table=self.errors)
        told = usage_at(chunk, self._path)
        if told is not None:
            self.usage = told
        only_text = self._note(chunk.get("choices"))
        if told is not None:
            self._counted = (self.deltas, self._characters, self._size)
        given = self._reshape(self._rewrite(data, chunk))
        if self.id is None and given is not None:
            self.id = _id(chunk) if self._following is None else read_id(given)
        if only_text and given is not None and told is None and not chunk.get("usage"):
            self._learn(data, given)
        return given

    def _reshape(self, data: bytes | None) -> bytes | None:
        """What the preset makes of a chunk; line ends in JSON are only ever spaces."""
        if self._following is None or data is None:
            return data
        given = self._following.feed(data)
        if given is None or given is data:
            return given
        return BETWEEN.join([each.replace(b"\r", b" ").replace(b"\n", b" ") for each in given.split(BETWEEN)])

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
        frame = _FRAMED.fullmatch(data)
        new = frame if given is data else _FRAMED.fullmatch(given)
        if frame is None or new is None or (self._following is not None and len(_TEXT.findall(data)) != 1):
            return
        self._head, self._tail = frame.groups()
        self._least = len(self._head) + len(self._tail)
        self._new_head, self._new_tail = (None, b"") if given is data else new.groups()

    def _rewrite(self, data: bytes, chunk: dict[str, Any]) -> bytes | None:
        drop: tuple[str, ...] = ()
        replace: dict[str, bytes] = {}
        if "usage" in chunk and not self._call.wants_usage:
            if chunk.get("choices") == [] and chunk["usage"]:
                return None
            drop = ("usage",)
        if self._public is not None and chunk.get("model", self._public) != self._public:
            replace["model"] = _encode(self._public)
        if not drop and not replace:
            return data
        # Line ends in JSON are only ever spaces, and would end the event's line.
        return (
            rawjson.splice_bytes(data, replace=replace, drop=drop).replace(b"\r", b" ").replace(b"\n", b" ")
        )


def _id(chunk: dict[str, Any]) -> str | None:
    told = chunk.get("id")
    return told if type(told) is str else None


def _says_something(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta")
    if type(delta) is dict:
        return any(value for key, value in delta.items() if key != "role")
    return bool(choice.get("text"))
