"""A completions or chat stream folded into the whole answer that it spelled out.

    data --same frame--> its text is kept as it came           (nearly every event: 0.4 us)
    data --any other---> decoded and merged                    (3 to 8 us)
    answer()             texts joined, decoded once, encoded   (once)

A frame is a chunk without its text: once a chunk was decoded and found to be one piece of one text, a chunk with the
same bytes around its text is another piece of it. Escapes and UTF-8 that were cut between two chunks are whole again
when the pieces are joined. Unknown fields are merged by their shape: texts and lists grow, of other values the last
counts. Where a stream is anything else, an error or a shape that is not understood, `answer` raises Unfoldable: then
keep the events themselves. Decides nothing about usage or money. Merging as OpenAI's clients do: contract §2.
"""

import re
from itertools import groupby
from typing import Any

import msgspec

from ingot.dialects.cuts import load, mend
from ingot.sse import DONE, EventTooLarge, SseSplitter, event_data

Json = dict[str, Any]

# The first that is not empty counts: some servers begin with a chunk that has none of them.
_FIRST = frozenset({"id", "created", "model"})
_PADDING = frozenset({"obfuscation"})  # differs from chunk to chunk, and means nothing

CHAT = "chat.completion"
TEXT = "text_completion"
_KINDS = {"chat.completion.chunk": CHAT, TEXT: TEXT}

_TEXTS = ("content", "reasoning_content", "reasoning", "refusal", "arguments", "input", "text")
_FRAMES = {
    name: re.compile(
        rb'(.*?"%b":\s*")(?!")([^"\\]*(?:\\.[^"\\]*)*)(".*)' % name.encode(),
        re.DOTALL,
    )
    for name in _TEXTS
}

_encode = msgspec.json.Encoder().encode


class Unfoldable(ValueError):
    """The stream is not the pieces of one whole answer."""


class Text:
    """A text in pieces: decoded ones as str, ones with their JSON escapes as bytes."""

    __slots__ = ("pieces",)

    def __init__(self) -> None:
        self.pieces: list[str | bytes] = []

    def whole(self) -> str:
        """The text; raises Unfoldable."""
        return mend("".join([_joined(kind, list(run)) for kind, run in groupby(self.pieces, type)]))


class Assembly:
    """One stream on its way to a whole answer; `feed` takes the data of one event and never raises."""

    __slots__ = ("_choices", "_fault", "_head", "_kind", "_least", "_sink", "_tail", "_top", "done")

    def __init__(self) -> None:
        self.done = False
        """The stream said that it is complete."""
        self._top: Json = {}
        self._choices: dict[int, _Choice] = {}
        self._kind = ""
        self._fault: str | None = None
        self._head = b""
        self._tail = b""
        self._least = 2**62  # bytes that the frame has without any text
        self._sink: list[str | bytes] = []

    def feed(self, data: bytes) -> None:
        """Takes the data of the next event."""
        if len(data) >= self._least and data.startswith(self._head) and data.endswith(self._tail):
            text = data[len(self._head) : len(data) - len(self._tail)]
            if b'"' not in text or (b"\\\\" not in text and text.count(b'"') == text.count(b'\\"')):
                self._sink.append(text)
                return
        if self._fault is not None:
            return
        if data.startswith(DONE):
            self.done = True
            return
        try:
            self._take(data)
        except Unfoldable as fault:
            self._fault = str(fault)
            self._least = 2**62

    def answer(self) -> bytes:
        """The whole answer as JSON; raises Unfoldable."""
        if self._fault is not None:
            raise Unfoldable(self._fault)
        if not self._kind:
            raise Unfoldable("The stream holds no chunk.")
        top = dict(self._top)
        head: Json = {name: top.pop(name) for name in ("id", "created", "model") if name in top}
        usage = top.pop("usage", None)
        whole: Json = {
            **head,
            "object": self._kind,
            "choices": [self._choices[index].whole(self._kind) for index in sorted(self._choices)],
        }
        if usage is not None:
            whole["usage"] = usage
        whole |= sorted(top.items())
        try:
            return _encode(whole)
        except (ValueError, OverflowError) as error:
            raise Unfoldable("The stream holds a value that JSON cannot say.") from error

    def _take(self, data: bytes) -> None:
        chunk = _load(data)
        if type(chunk) is not dict or chunk.get("error") or chunk.get("object") == "error":
            raise Unfoldable("The stream holds an event that is no chunk.")
        choices = chunk.pop("choices", None) or []
        self._note_kind(chunk.pop("object", None), choices)
        for name, value in chunk.items():
            old = self._top.get(name)
            if name not in _PADDING and not (old and name in _FIRST) and (value is not None or old is None):
                self._top[name] = value
        grown: list[tuple[str, Text]] = []
        plain = len(choices) == 1
        for each in choices:
            index = each.get("index") or 0
            if type(index) is not int:
                raise Unfoldable("A choice's index is no integer.")
            choice = self._choices.setdefault(index, _Choice(index))
            plain = choice.merge(each, grown=grown) and plain
        if plain and len(grown) == 1:
            self._learn(data, *grown[0])

    def _note_kind(self, told: object, choices: Any) -> None:
        if type(choices) is not list or any(type(each) is not dict or "message" in each for each in choices):
            raise Unfoldable("The stream holds choices of an unknown shape.")
        kind = _KINDS.get(told, "") if type(told) is str else ""
        if any("delta" in each for each in choices):
            kind = CHAT
        elif any("text" in each for each in choices):
            kind = TEXT
        if kind and self._kind not in {"", kind}:
            raise Unfoldable("The stream mixes two kinds of chunks.")
        self._kind = kind or self._kind

    def _learn(self, data: bytes, name: str, text: Text) -> None:
        if data.count(b'"%b"' % name.encode()) != 1:
            return
        frame = _FRAMES[name].fullmatch(data)
        if frame is None:
            return
        self._head, _, self._tail = frame.groups()
        self._least = len(self._head) + len(self._tail)
        self._sink = text.pieces


class _Choice:
    """One alternative of an answer, as far as it has come."""

    __slots__ = ("_calls", "_extras", "_message", "_text", "index")

    def __init__(self, index: int) -> None:
        self.index = index
        self._message: Json = {}
        self._text = Text()
        self._calls: dict[int, Json] = {}
        self._extras: Json = {}  # what stands beside the message: finish_reason, logprobs and unknown ones

    def merge(self, choice: Json, *, grown: list[tuple[str, Text]]) -> bool:
        """Takes a chunk's choice; whether nothing changed but what is noted in `grown`, a text each."""
        plain = True
        for name, value in choice.items():
            if name == "delta":
                plain = self._merge_delta(value or {}, grown=grown) and plain
            elif name == "text":
                _grow(self._text, value or "", name=name, grown=grown)
            elif name == "logprobs":
                self._merge_logprobs(value)
                plain = plain and not value
            elif name != "index":
                _put(self._extras, name, value)
                plain = plain and not value
        return plain

    def whole(self, kind: str) -> Json:
        """The choice of a whole answer."""
        extras = dict(sorted(self._extras.items()))
        logprobs = {"logprobs": extras.pop("logprobs")} if "logprobs" in extras else {}
        finish = {"finish_reason": extras.pop("finish_reason", None)}
        if kind == TEXT:
            return {"text": self._text.whole(), "index": self.index, **logprobs, **finish, **extras}
        if self._text.pieces:
            raise Unfoldable("The stream mixes two kinds of choices.")
        return {"index": self.index, "message": self._whole_message(), **logprobs, **finish, **extras}

    def _whole_message(self) -> Json:
        said = {name: _whole(value) for name, value in sorted(self._message.items())}
        head = {"role": said.pop("role", None) or "assistant", "content": said.pop("content", None)}
        calls = [_whole(self._calls[index]) for index in sorted(self._calls)]
        return {**head, **said, **({"tool_calls": calls} if calls else {})}

    def _merge_delta(self, delta: Any, *, grown: list[tuple[str, Text]]) -> bool:
        if type(delta) is not dict:
            raise Unfoldable("A delta is no object.")
        message = self._message
        plain = True
        for name, value in delta.items():
            if name == "role":
                message[name] = message.get(name) or value
            elif name == "tool_calls":
                plain = self._merge_calls(value or [], grown=grown) and plain
            elif type(value) is str:
                _grow(_text_at(message, name), value, name=name, grown=grown)
            elif type(value) is dict:
                plain = _merge_object(message, name, value, grown=grown) and plain
            else:
                _put(message, name, value)
                plain = plain and not value
        return plain

    def _merge_calls(self, fragments: Any, *, grown: list[tuple[str, Text]]) -> bool:
        if type(fragments) is not list:
            raise Unfoldable("Tool calls are no list.")
        plain = True
        for fragment in fragments:
            if type(fragment) is not dict:
                raise Unfoldable("A tool call is no object.")
            call = self._calls.setdefault(self._place(fragment), {})
            for name, value in fragment.items():
                if name in {"id", "type"}:
                    call[name] = call.get(name) or value
                elif type(value) is dict:
                    plain = _merge_object(call, name, value, grown=grown) and plain
                elif name != "index":
                    _put(call, name, value)
                    plain = plain and not value
        return plain

    def _place(self, fragment: Json) -> int:
        last = max(self._calls, default=-1)
        return call_place(fragment, last, known=self._calls[last].get("id") if last >= 0 else None)

    def _merge_logprobs(self, value: Any) -> None:
        if value is None:
            self._extras.setdefault("logprobs", None)
            return
        if type(value) is not dict:
            raise Unfoldable("Log probabilities are no object.")
        whole = self._extras.get("logprobs") or {}
        self._extras["logprobs"] = whole
        for name, each in value.items():
            _put(whole, name, each)


def call_place(fragment: Json, last: int, *, known: object) -> int:
    """Which call a fragment belongs to; without an index a new id begins a new call.

    `last` is the highest place so far, below zero where there is none, and `known` the id of the call there.
    """
    index = fragment.get("index")
    if type(index) is int:
        return index
    if last < 0:
        return 0
    told = fragment.get("id")
    return last + 1 if known and told and known != told else last


def assemble(events: bytes) -> bytes:
    """The whole answer of a captured stream; raises Unfoldable."""
    assembly = Assembly()
    splitter = SseSplitter(limit=len(events) + 2)
    try:
        # The end of the last event may be missing where the connection was closed behind it.
        for event in splitter.feed(events + b"\n\n"):
            data = event_data(event)
            if data is not None:
                assembly.feed(data)
    except EventTooLarge as error:
        raise Unfoldable("The stream holds no events.") from error
    return assembly.answer()


def _merge_object(fields: Json, name: str, piece: Json, *, grown: list[tuple[str, Text]]) -> bool:
    """Takes a piece of an object such as `{"name": ..., "arguments": ...}`; whether nothing but texts grew."""
    into = fields.get(name)
    if into is None:
        into = fields[name] = {}
    if type(into) is not dict:
        raise Unfoldable(f"'{name}' is now an object and now none.")
    plain = True
    for key, value in piece.items():
        if key in {"id", "name"} and type(value) is str:
            old = into.get(key) or ""
            # Some servers repeat them with every piece of the arguments.
            into[key] = old if not value or value == old else _string(old) + value
        elif type(value) is str:
            _grow(_text_at(into, key), value, name=key, grown=grown)
        else:
            _put(into, key, value)
            plain = plain and not value
    return plain


def _grow(text: Text, value: Any, *, name: str, grown: list[tuple[str, Text]]) -> None:
    text.pieces.append(_string(value))
    if value:
        grown.append((name if name in _FRAMES else "", text))


def _string(value: Any) -> str:
    if type(value) is not str:
        raise Unfoldable("A text is no string.")
    return value


def _text_at(fields: Json, name: str) -> Text:
    """The text under a name; it is begun where there is none yet."""
    found = fields.get(name)
    if found is None:
        found = fields[name] = Text()
    if type(found) is not Text:
        raise Unfoldable(f"'{name}' is now a text and now none.")
    return found


def _put(fields: Json, name: str, value: Any) -> None:
    """Merges a value of unknown meaning: lists grow, of other values the last that is there counts."""
    old = fields.get(name)
    if value is None:
        fields.setdefault(name, None)
    elif type(old) is Text:
        raise Unfoldable(f"'{name}' is now a text and now none.")
    elif type(old) is list and type(value) is list:
        old.extend(value)
    elif value or not old:
        fields[name] = value


def _whole(value: Any) -> Any:
    """A merged value with its texts joined."""
    if type(value) is Text:
        return value.whole()
    if type(value) is dict:
        return {name: _whole(each) for name, each in value.items()}
    return value


def _load(data: bytes) -> Any:
    """A chunk, also where a character was cut in two: its halves are surrogates until `mend`."""
    try:
        return load(data)
    except ValueError as error:
        raise Unfoldable("The stream holds an event that is no JSON.") from error


def _joined(kind: type, run: list[Any]) -> str:
    return "".join(run) if kind is str else _string(_load(b'"' + b"".join(run) + b'"'))
