"""Parts and turns of the canonical form.

Decides what the three dialects mean in common by a part. Knows no wire format.
"""

from typing import Literal

from msgspec import Raw, Struct, UnsetType

DialectName = Literal["chat", "responses", "messages"]
Role = Literal["system", "developer", "user", "assistant", "tool"]
Json = Raw | UnsetType


class Origin(Struct, frozen=True, gc=False):
    """Where something comes from or goes to: a dialect, and the target's name where it is known."""

    dialect: DialectName
    target: str = ""


class Extras(Struct, frozen=True, gc=False):
    """Fields that nobody here interprets, as they came, by name."""

    dialect: DialectName
    fields: dict[str, Raw]


class CacheHint(Struct, frozen=True, gc=False):
    """The prompt up to here is worth keeping; `ttl` as the dialect writes it (`5m`, `1h`, `30m`)."""

    ttl: str | None = None


# --- parts ---


class Part(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", omit_defaults=True):
    """What all parts have in common."""

    at: str = ""
    item: str | None = None
    cache: CacheHint | None = None
    extras: Extras | None = None


class Citation(Struct, frozen=True, gc=False, omit_defaults=True):
    """A source of a text. `raw` is the whole object as it came, for its own dialect; the rest is what others can say.

    `start` and `end` count characters of the text that cites; `quote` is the cited text.
    """

    dialect: DialectName
    raw: Raw
    url: str | None = None
    title: str | None = None
    quote: str | None = None
    start: int | None = None
    end: int | None = None
    file_id: str | None = None
    filename: str | None = None


class Text(Part, frozen=True, tag="text"):
    text: str
    citations: tuple[Citation, ...] = ()


class Refusal(Part, frozen=True, tag="refusal"):
    text: str


class Image(Part, frozen=True, tag="image"):
    """One of `data` (base64, with `media_type`), `url` and `file_id`; `detail` is auto, low, high or original."""

    data: str | None = None
    media_type: str | None = None
    url: str | None = None
    file_id: str | None = None
    detail: str | None = None


class File(Part, frozen=True, tag="file"):
    """One of `data` (base64), `text` (as it reads), `url` and `file_id`; `citations`: the answer shall cite it."""

    data: str | None = None
    media_type: str | None = None
    text: str | None = None
    url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    title: str | None = None
    context: str | None = None
    citations: bool | None = None


class Audio(Part, frozen=True, tag="audio"):
    """Sound that the model hears; `data` is base64, `format` wav or mp3."""

    data: str
    format: str


class ToolCall(Part, frozen=True, tag="tool_call"):
    """`arguments` is JSON text as the model wrote it, valid or not; for a custom tool it is free text."""

    id: str
    name: str
    arguments: str
    kind: Literal["function", "custom"] = "function"


class ToolResult(Part, frozen=True, tag="tool_result"):
    """What a tool said to the call `call_id`; `is_error` is None where the dialect cannot tell."""

    call_id: str
    parts: "tuple[AnyPart, ...]"
    is_error: bool | None = None
    kind: Literal["function", "custom"] = "function"


class Seal(Struct, frozen=True, gc=False):
    """What only the maker of a reasoning can read: a signature over its text, or its text encrypted or redacted."""

    kind: Literal["signature", "encrypted", "redacted"]
    data: str


class Reasoning(Part, frozen=True, tag="reasoning"):
    """A model's thoughts: texts and summaries, each as a tuple of paragraphs, and their seal."""

    origin: Origin
    content: tuple[str, ...] = ()
    summary: tuple[str, ...] = ()
    seal: Seal | None = None

    def returns_to(self, origin: Origin) -> bool:
        """Whether it may be sent there; a client's word does not name its target, so then the dialect decides."""
        mine = self.origin
        return mine.dialect == origin.dialect and mine.target in {"", origin.target}


class NativePart(Part, frozen=True, tag="native"):
    """A part that only its own dialect knows, whole: calls of hosted tools and their results, references, ..."""

    dialect: DialectName
    kind: str
    raw: Raw


AnyPart = (
    Text | Refusal | Image | File | Audio | ToolCall | ToolResult | Reasoning | NativePart
)  # told apart by `type`


class Turn(Struct, frozen=True, gc=False, omit_defaults=True):
    """One message or item; `name` tells participants of one role apart."""

    role: Role
    parts: tuple[AnyPart, ...]
    name: str | None = None
    at: str = ""
    extras: Extras | None = None


# --- places ---


def where(*steps: str) -> str:
    """The path that these steps make: `messages[1]`, `content`, `[0]` become `messages[1].content[0]`."""
    path = ""
    for step in steps:
        path = f"{path}.{step}" if path and step and step[0] != "[" else path + step
    return path
