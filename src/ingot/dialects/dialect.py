"""What a dialect is: a wire format as a frozen record of pure functions, and the records that they exchange.

    client's bytes --decode--> Call --check_target, prepare--> bytes for the target
    answer's bytes --read_usage, patch_answer--> bytes for the client        (plain)
    each event's data --tap.feed--> the same bytes, others, or none          (streamed)
    ApiError --encode_error | error_event--> bytes for the client

Decides the shape of these exchanges. Refuses to know any wire format, HTTP beyond the names of headers that are part of
a format, and where bytes come from.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import msgspec

from ingot.canonical import Losses
from ingot.catalog import Quirks
from ingot.dialects.envelope import EncodeError, Encoder, encoder
from ingot.errors import ApiError, InvalidRequest
from ingot.rawjson import Body, Place


class Turn(msgspec.Struct, frozen=True, gc=False):
    """What an answer is turned back from: nothing, a call that came as text, a refusal that begins with `mark`."""

    kind: Literal["none", "call", "refusal"] = "none"
    mark: str = ""


AS_IT_IS: Final = Turn()


class Found(msgspec.Struct, frozen=True, gc=False):
    """Something within the body, and where it stands."""

    place: Place

    @property
    def field(self) -> str:
        """The place as errors name it: `messages[0].content[1].image_url.url`."""
        return "".join([f"[{step}]" if type(step) is int else f".{step}" for step in self.place])[1:]


class Image(Found, frozen=True, gc=False):
    """An image of a request, by its URL."""

    url: str


class Attachment(Found, frozen=True, gc=False):
    """A file of the caller's that is named by its id, by the place of the id."""

    id: str
    kind: Literal["image", "file"]


class Document(Found, frozen=True, gc=False):
    """What a target would go to by its URL and is none of the images of a request: a document, a screenshot, a server of tools."""

    url: str


class Content(msgspec.Struct, frozen=True, gc=False):
    """What a file holds."""

    data: bytes
    media_type: str
    filename: str


class Schema(Found, frozen=True, gc=False):
    """A JSON schema of a request; what is demanded must fit it, the rest is a hint to the model."""

    schema: dict[str, Any]
    demanded: bool


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """What is ours to say in an answer that can be asked for again: its id, and what `asked` said, the client's own body.

    `now` tells the instant in Unix seconds.
    """

    id: str
    asked: Body
    now: Callable[[], float]
    # Principles were put before the instructions, which the answer tells as the client gave them.
    principled: bool = False
    # Makes of a text what only the organization that asks can have read again.
    seal: Callable[[bytes], str] | None = None
    # The same of a target's thoughts, and those again; raises ValueError.
    seal_thoughts: Callable[[bytes], str] | None = None
    open_thoughts: Callable[[str], bytes] | None = None


class Past(msgspec.Struct, frozen=True, gc=False):
    """An item of an earlier response; `maker` is the target that gave it, None where its client sent it."""

    item: dict[str, Any]
    maker: str | None = None


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A valid request, with what routing and accounting need to know of it; `body` keeps the client's bytes."""

    model: str
    body: Body
    stream: bool = False
    # The client asked for usage at the end of its stream.
    wants_usage: bool = False
    # Answers asked for.
    n: int = 1
    # Answers that are generated, of which the best `n` are given; 0: as many as are given.
    drafts: int = 0
    # The most output tokens of each, where the client set a bound; 0 where there is no text to be had.
    max_tokens: int | None = None
    # Header lines that the target gets, lower-case names: those of the client that the dialect passes on.
    headers: tuple[tuple[str, str], ...] = ()
    images: tuple[Image, ...] = ()
    # Files that are named by their ids, and the bytes by which the body grows once they are in it.
    files: tuple[Attachment, ...] = ()
    attached: int = 0
    documents: tuple[Document, ...] = ()
    schemas: tuple[Schema, ...] = ()
    # The first pattern that not every engine takes, in a schema that only describes; targets with `gbnf` compile it.
    loose_pattern: InvalidRequest | None = None
    # Of dialects whose answers are ours by name; `body` may then hold more than the client's own.
    stamp: Stamp | None = None
    # The makers of the first items of the input, where earlier responses were put before it.
    makers: tuple[str | None, ...] = ()
    # The field that asked for these.
    source: str = "previous_response_id"
    # Of the items behind those, where references among them were replaced: the maker of each, and its place in the client's input.
    referred: tuple[tuple[str | None, int], ...] = ()
    # Items that the answer gives back as they were.
    repeated: tuple[dict[str, Any], ...] = ()
    # What was left out of the body for the target that gets it, by its place in the client's own.
    losses: Losses = ()

    @property
    def composed(self) -> bool:
        """Whether its input holds items that are not its client's own."""
        return bool(self.makers or self.referred)

    @property
    def size(self) -> int:
        """Bytes of the body as targets get it, files included."""
        return len(self.body.data) + self.attached


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one inference: `cached_input` and `cache_write` are parts of `input`, `reasoning` of `output`."""

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    estimated: bool = False


class Said(msgspec.Struct, frozen=True):
    """Output that came: in how many pieces, and the characters and bytes of UTF-8 of its text."""

    pieces: int = 0
    characters: int = 0
    size: int = 0

    def since(self, before: "Said") -> "Said":
        """What of it came after `before`."""
        return Said(self.pieces - before.pieces, self.characters - before.characters, self.size - before.size)


class StreamTap(Protocol):
    """Watches one stream: one event's data in, what the client gets of it out."""

    # What the upstream counted, once it said so.
    usage: Usage | None
    # Pieces of output that came: an event brings one for each of its choices that says something.
    deltas: int
    # The dialect's own end came.
    done: bool
    # The upstream reported an error; the client was given ours in its place.
    failed: bool
    # The answer's id as the upstream gave it.
    id: str | None
    # The request's, which errors are told with; empty where nobody set it.
    request_id: str

    @property
    def finished(self) -> bool:
        """Whether every answer has its finish reason."""
        ...

    @property
    def given(self) -> bytes:
        """What the client was given so far, for the store: the same answer in fewer events."""
        ...

    @property
    def said(self) -> Said:
        """All output that came."""
        ...

    @property
    def uncounted(self) -> Said:
        """What came of it after the upstream told its usage last; all, where it told none."""
        ...

    def feed(self, data: bytes) -> bytes | None:
        """What goes to the client: `data` itself where nothing changes, other bytes, or None for nothing."""
        ...

    def frame(self, data: bytes, /) -> bytes:
        """Data that is not the upstream's own, as an event."""
        ...

    def fail(self, error: ApiError, request_id: str) -> bytes:
        """The events that end the stream with this error, in place of what would have come; `given` holds them then."""
        ...


class Following(Protocol):
    """Changes the chunks of one stream on their way to the client."""

    @property
    def feed(self) -> Callable[[bytes], bytes | None]:
        """What goes on of one chunk; None for nothing yet, two joined by `sse.BETWEEN`."""
        ...

    def end(self) -> bytes | None:
        """What was held back and is due before the dialect's end."""
        ...


class Reshape(Protocol):
    """What is made of the answers of every target, so that they look as a preset says."""

    def whole(self, answer: bytes) -> bytes:
        """A whole answer, every value that is not ruled over byte-identical."""
        ...

    def follow(self) -> Following:
        """What changes the next stream."""
        ...


class MakeTap(Protocol):
    """`model` is what the target calls the model, `public` what the client called it, `usage` the counts' place.

    `turn` says how the stream is turned back as it passes.
    """

    def __call__(
        self,
        call: Call,
        /,
        *,
        model: str,
        public: str,
        usage: tuple[str, ...] = ("usage",),
        turn: Turn = AS_IT_IS,
    ) -> StreamTap: ...

    def dressed(self, encode: EncodeError, reshape: Reshape | None = None, /) -> "MakeTap":
        """The same for streams in which our errors look as `encode` has them.

        `reshape` changes what the client gets; usage and ends are read before.
        """
        ...

    def frame(self, data: bytes, /) -> bytes:
        """Data of ours as an event of such a stream."""
        ...


class Prepare(Protocol):
    """The body for a target: the client's own bytes where nothing must change."""

    def __call__(self, call: Call, *, model: str, quirks: Quirks, force_usage: bool = True) -> bytes: ...


class ForTarget(Protocol):
    """The call for the target of this name; `native`: it speaks the dialect."""

    def __call__(self, call: Call, target: str, *, native: bool) -> Call: ...


class TakeHeaders(Protocol):
    """The call with what the client's headers add to it; raises ApiError where they ask for what cannot be."""

    def __call__(self, call: Call, headers: Mapping[bytes, bytes], /) -> Call: ...


class ReadUsage(Protocol):
    """What a whole answer says it used, None where it says nothing usable; raises ValueError if it is no object."""

    def __call__(self, answer: bytes, *, path: tuple[str, ...] = ("usage",)) -> Usage | None: ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """A wire format. `path` is where it lives below a target's base URL."""

    name: str
    path: str
    # The client's body, checked; raises ApiError.
    decode: Callable[[bytes], Call]
    # Raises Unsupported where the target cannot honour the call; the name is the deployment's.
    check_target: Callable[[Call, Quirks, str], None]
    prepare: Prepare
    # The call with data URIs in place of the URLs of these images, every other byte as it came.
    inline_images: Callable[[Call, Mapping[Image, str]], Call]
    read_usage: ReadUsage
    # The id of a whole answer, None where it has none.
    read_id: Callable[[bytes], str | None]
    # The call with a deployment's principles before all else; raises Unsupported where there is no place for them.
    preface: Callable[[Call, str], Call]
    # How this target's answer has to be turned back, where refusals begin with a mark, or with none; and that done.
    turn_of: Callable[[Call, Quirks, str | None], Turn]
    turn_back: Callable[[bytes, Turn], bytes]
    # The answer with the public model name at its top level, all other values byte-identical.
    patch_answer: Callable[[bytes, str], bytes]
    tap: MakeTap
    # The error, and the request's id, as the status and body of an answer and as an event of a stream that has begun.
    encode_error: Callable[[ApiError, str], tuple[int, bytes]]
    error_event: Callable[[ApiError, str], bytes]
    # What a complete stream ends with.
    end_event: bytes
    # The call with the bytes of all its files in place of their ids, where requests can name any.
    attach: Callable[[Call, Mapping[Attachment, Content]], Call] | None = None
    # Where answers carry our own id: the whole answer with what is ours, for the call and the public model name.
    stamp_answer: Callable[[bytes, Call, str], bytes] | None = None
    # The call as the target of this name gets it, which speaks the dialect or does not: what it may not see is not in it.
    for_target: ForTarget | None = None
    # A place in the call's body as its client would name it, where the body holds more than the client's own.
    own_place: Callable[[str, Call], str] | None = None
    # The call that is asked in place of the client's, once all that comes before it is there.
    recast: Callable[[Call], Call] | None = None
    # Raises Unsupported for what no translation may leave out; the name is the deployment's.
    check_translated: Callable[[Call, str], None] | None = None
    # Raises Unsupported for ids that name things of the target's account; the name is the deployment's.
    refuse_account_ids: Callable[[Call, str], None] | None = None
    # How answers are to look, where not as targets give them; `tap` was handed it already.
    reshape: Reshape | None = None
    # `encode_error` under a preset's table.
    encoder: Encoder = encoder
    # None where the body says everything.
    take_headers: TakeHeaders | None = None
    # What a target's `dialects` must hold; empty: the name.
    spoken: str = ""
    # Where clients call it, if not at `path`; and whose codec translates it, if not its own.
    called: str = ""
    tongue: str = ""
    # The header that carries the target's credential beside the bearer token.
    key_header: str = ""
    # The header that tells the request's id beside `x-request-id`.
    id_header: str = ""

    @property
    def format(self) -> str:
        """What a target must speak to be asked."""
        return self.spoken or self.name

    @property
    def codec(self) -> str:
        """The name of the codec that translates it, where there is one."""
        return self.tongue or self.name

    @property
    def surface(self) -> str:
        """Where clients call it, below the version."""
        return self.called or self.path
