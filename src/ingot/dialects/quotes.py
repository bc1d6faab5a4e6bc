"""Quotes and windows on the wire: what a request for a quote may say, and what is told of prices, times and kept promises.

    {"endpoint", "body"}                                              one request
    {"endpoint", "requests": [{"custom_id", "params"} ..]}            a batch, in full
    {"endpoint", "input_file_id"}                                     a batch in a file
    {"endpoint", "model", "count", "input_tokens", "output_tokens"}   a batch that is not written yet

Each may say `completion_window`, and `"windows": "all"` for a quote of each window that its models are offered in. Decides
shapes; refuses to know who asks, what it costs and when it is done.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from ingot.dialects.batch_lines import NAME
from ingot.dialects.batches import REQUESTS
from ingot.dialects.complaint import convert
from ingot.errors import InvalidRequest

MOST_REQUESTS: Final = 1_000_000
"""Of a batch under any configuration."""
FORMS: Final = ("body", "requests", "input_file_id", "count")
"""Of these a request has one."""

_encode = msgspec.json.Encoder().encode

Tokens = Annotated[int, Meta(ge=0, le=100_000_000)]


class Piece(Struct, frozen=True):
    """A request of a batch."""

    custom_id: Annotated[str, Meta(pattern=f"^{NAME.pattern}$")]
    params: dict[str, Any]


class CreateQuote(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that asks for a quote."""

    endpoint: Annotated[str, Meta(min_length=1, max_length=100)]
    body: dict[str, Any] | UnsetType = UNSET
    requests: Annotated[list[Piece], Meta(min_length=1, max_length=MOST_REQUESTS)] | UnsetType = UNSET
    input_file_id: Annotated[str, Meta(min_length=1, max_length=256)] | UnsetType = UNSET
    model: Annotated[str, Meta(min_length=1, max_length=512)] | UnsetType = UNSET
    count: Annotated[int, Meta(ge=1, le=MOST_REQUESTS)] | UnsetType = UNSET
    input_tokens: Tokens | UnsetType = UNSET
    output_tokens: Tokens | UnsetType = UNSET
    completion_window: str | None = None
    windows: Literal["asked", "all"] = "asked"


class QuotedPrice(Struct, frozen=True, kw_only=True):
    """In USD: the most that it can cost, and what it will probably. `factor` is that of the window against the model's own
    price, `plan_factor` that of the caller's plan; both are in the amounts.
    """

    most_usd: str
    expected_usd: str
    factor: float
    plan_factor: float


class WindowQuote(Struct, frozen=True, kw_only=True):
    """What a window promises. Instants are seconds since the epoch; `confidence` is the probability that it is done when it
    is due, and nine of ten finish from `earliest_at` to `latest_at`. `measured` false: nothing is known of the targets yet, so
    that `confidence` is null, times are a guess, and so is how much is let in. What is not `accepted` has no times: `retry_after` are the seconds until it would be, null where it
    never is, and `reason` says what is full: the organization's `share`, the `capacity`, or the window for this `size`.
    Requests of a batch may be in several windows, as each may name its own: `completion_window` is then the last to be due.
    """

    completion_window: str
    accepted: bool
    price: QuotedPrice
    starts_at: float | None = None
    finishes_at: float | None = None
    earliest_at: float | None = None
    latest_at: float | None = None
    due_at: float | None = None
    confidence: float | None = None
    measured: bool = True
    reason: Literal["share", "capacity", "size"] | None = None
    retry_after: float | None = None


class QuoteObject(WindowQuote, frozen=True, kw_only=True):
    """A quote for what was asked, with its tokens: those read as estimated, those written at most and as expected."""

    object: str = "quote"
    created_at: float
    endpoint: str
    models: list[str]
    batch: bool
    requests: int
    input_tokens: int
    output_tokens: int
    expected_output_tokens: int
    windows: list[WindowQuote] | UnsetType = UNSET


class Kept(Struct, frozen=True, kw_only=True):
    """What became of the promises of a span: those whose time came (`promised`), those `kept` and their `share`, turn times in
    seconds from request to answer, and how much was `refused` because it could not be promised.
    """

    promised: int
    kept: int
    share: float | None
    turn_p50: float | None
    turn_p95: float | None
    refused: int


class Spans(Struct, frozen=True, kw_only=True):
    """The last hour, day and thirty days."""

    last_1h: Kept
    last_24h: Kept
    last_30d: Kept


class OfferedModel(Struct, frozen=True):
    """A model that is offered in a window, and its price there against its own."""

    id: str
    factor: float


class WindowObject(Struct, frozen=True, kw_only=True):
    """A completion window: how long it is, for whom, and how often it was kept; `batches` has requests of batches apart."""

    id: str
    object: str = "completion_window"
    seconds: float
    batch_seconds: float | None
    background_only: bool
    batchable: bool
    on_miss: str
    models: list[OfferedModel]
    requests: Spans
    batches: Spans | None


class WindowList(Struct, frozen=True):
    """The answer of `GET /v1/windows`."""

    data: list[WindowObject]
    object: str = "list"


def decode(value: dict[str, Any], *, inline: bool) -> CreateQuote:
    """What is asked for by all but `requests`, which are read apart; `inline`: there are some. Raises InvalidRequest,
    Unsupported.
    """
    asked: CreateQuote = convert(value, CreateQuote)
    given = [name for name in FORMS if getattr(asked, name) is not UNSET or (inline and name == REQUESTS)]
    if len(given) != 1:
        told = "none of them" if not given else f"'{given[0]}' and '{given[1]}'"
        raise InvalidRequest(
            f"A quote is for one of 'body', 'requests', 'input_file_id' and 'count', but got {told}.",
            param=given[1] if given else "body",
            code=None if given else "missing_required_parameter",
        )
    sized = ("model", "input_tokens", "output_tokens")
    if given == ["count"]:
        missing = next((name for name in sized if getattr(asked, name) is UNSET), None)
        if missing is not None:
            raise InvalidRequest(
                f"Missing required parameter: '{missing}'. With 'count' it says what each request is like.",
                param=missing,
                code="missing_required_parameter",
            )
        return asked
    extra = next((name for name in sized if getattr(asked, name) is not UNSET), None)
    if extra is not None:
        raise InvalidRequest(
            f"'{extra}' is said by '{given[0]}' already. Leave it out, or send 'count' in its place.",
            param=extra,
        )
    return asked


def encode(told: Struct) -> bytes:
    """One of the objects above."""
    return _encode(told)
