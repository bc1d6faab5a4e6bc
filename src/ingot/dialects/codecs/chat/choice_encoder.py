"""One alternative of a chat stream for a client: what was said since its last chunk, as the next one.

Texts join, calls get their index, and thoughts of any number of parts become one text with paragraphs. Decides what
stands in a chunk's choice; when a chunk is due is not decided here.
"""

from typing import Any

import msgspec

from ingot.canonical import Citation, Extras, Text, ToolCall
from ingot.dialects.codecs.chat.answers import PARAGRAPHS
from ingot.dialects.codecs.chat.messages import encode_call
from ingot.dialects.codecs.leftovers import restore

Json = dict[str, Any]

_encode = msgspec.json.Encoder().encode


class ChoiceEncoder:
    """What waits to be told of one choice."""

    __slots__ = (
        "_begins",
        "_calls",
        "_citations",
        "_length",
        "_name",
        "_paragraph",
        "_places",
        "_shown",
        "begun",
        "delta",
        "fields",
        "index",
        "logprobs",
    )

    def __init__(self, index: int) -> None:
        self.index = index
        # The client knows of this choice.
        self.begun = False
        self.delta: Json = {}
        # Those beside the delta.
        self.fields: Json = {}
        self.logprobs: dict[str, list[Any]] = {}
        self._calls: dict[int, tuple[int, ToolCall]] = {}
        # Characters of content so far, and where in them each part begins.
        self._length = 0
        self._begins: dict[int, int] = {}
        # What cites a whole text, until that is whole; and where parts stand in the answer, for losses.
        self._citations: dict[int, list[Citation]] = {}
        self._places: dict[int, str] = {}
        # Of thoughts: the field, which kind of each part is shown, and the paragraph that was told last.
        self._name = ""
        self._shown: dict[int, str] = {}
        self._paragraph: tuple[int, int] | None = None

    @property
    def pending(self) -> bool:
        """Whether anything waits."""
        return bool(self.delta or self.fields or self.logprobs)

    def take(self, finish: str | None = None) -> bytes:
        """The next chunk's choice; nothing waits then."""
        delta = self.delta
        if not self.begun:
            self.begun = True
            delta = {"role": "assistant", **delta}
        logprobs = self.logprobs
        told = {"content": logprobs.get("content"), "refusal": logprobs.get("refusal")} if logprobs else None
        choice = {
            "index": self.index,
            "delta": delta,
            "logprobs": told,
            "finish_reason": finish,
            **self.fields,
        }
        self.delta, self.fields, self.logprobs = {}, {}, {}
        return _encode(choice)

    def say(self, name: str, text: str) -> None:
        """More of a text of the message; it takes the place of what a target put there and is no text."""
        delta = self.delta
        held = delta.get(name)
        delta[name] = held + text if isinstance(held, str) else text
        if name == "content":
            self._length += len(text)

    def begin_text(self, part: int, text: Text) -> None:
        self._begins[part] = self._length
        self._places[part] = text.at

    def place(self, part: int) -> str:
        """Where a text or thoughts stand in the target's answer."""
        return self._places.get(part, "")

    def cite(self, part: int, citation: Citation) -> None:
        """A source of a whole text, which is told at its end."""
        self._citations.setdefault(part, []).append(citation)

    def cited(self, part: int) -> list[Citation]:
        """The sources of a text that is whole; they are told once."""
        return self._citations.pop(part, []) if self._citations else []

    def span(self, part: int) -> tuple[int, int]:
        """Where a part's text begins in the content, and how long it is so far."""
        start = self._begins.get(part, 0)
        return start, self._length - start

    def begin_thoughts(self, part: int, at: str, *, name: str) -> None:
        """Thoughts of a part follow, under this name unless there were some before."""
        self._places[part] = at
        self._name = self._name or name

    def think(self, part: int, kind: str, *, index: int, text: str) -> bool:
        """More thoughts, each paragraph apart; false where the other kind of this part is shown already."""
        if self._shown.setdefault(part, kind) != kind:
            return False
        paragraph = (part, index)
        if self._paragraph not in (None, paragraph):
            text = PARAGRAPHS + text
        self._paragraph = paragraph
        self.say(self._name, text)
        return True

    def begin_call(self, part: int, call: ToolCall) -> None:
        number = len(self._calls)
        self._calls[part] = number, call
        self.delta.setdefault("tool_calls", []).append({"index": number, **encode_call(call)})

    def argue(self, part: int, text: str) -> None:
        """More of a call's arguments."""
        number, call = self._calls[part]
        name = "arguments" if call.kind == "function" else "input"
        calls = self.delta.setdefault("tool_calls", [])
        if calls and calls[-1].get("index") == number and name in calls[-1].get(call.kind, ()):
            calls[-1][call.kind][name] += text
        else:
            calls.append({"index": number, call.kind: {name: text}})

    def grow_call(self, part: int, extras: Extras) -> None:
        """Fields of a call that came behind its start."""
        number, call = self._calls[part]
        known = {} if call.extras is None else call.extras.fields
        new = {name: raw for name, raw in extras.fields.items() if known.get(name) != raw}
        entry: Json = {"index": number, call.kind: {}}
        restore(Extras("chat", new), entry, dialect="chat")
        if not entry[call.kind]:
            del entry[call.kind]
        if new:
            self.delta.setdefault("tool_calls", []).append(entry)
