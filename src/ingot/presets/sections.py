"""What may stand in a preset's file, table by table; every key is known.

Decides names, types and ranges of single keys. What keys mean together is checked in `checks`.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, field

from ingot.config.section import Section, about

SURFACES: Final = (
    "chat",
    "stored",
    "completions",
    "embeddings",
    "messages",
    "count_tokens",
    "responses",
    "kept_responses",
    "input_tokens",
    "compact",
    "responses_socket",
    "conversations",
    "files",
    "batches",
    "message_batches",
    "webhooks",
    "models",
    "quotes",
    "usage",
    "windows",
)
"""What a preset can offer or leave out; a request for one that is left out finds nothing."""

BODIES: Final = ("chat", "completions", "embeddings", "messages", "responses", "compact")
"""The surfaces whose requests have fields to rule over, and run something that a retry must not run again."""

ANSWERED: Final = ("chat", "messages", "responses")
"""The surfaces whose answers have rules."""

UNKNOWN: Final = "*"
"""Stands for every field that no rule names."""

CALLS: Final = ("choices", "delta", "tool_calls")
"""The only place where pieces can be gathered."""

BLOCKS: Final = ("messages", "content")
"""The only surface and field whose blocks can be made one text."""

SurfaceName = Literal[
    "chat",
    "stored",
    "completions",
    "embeddings",
    "messages",
    "count_tokens",
    "responses",
    "kept_responses",
    "input_tokens",
    "compact",
    "responses_socket",
    "conversations",
    "files",
    "batches",
    "message_batches",
    "webhooks",
    "models",
    "quotes",
    "usage",
    "windows",
]
HeaderForm = Literal["bearer", "x-api-key"]
LimitHeaders = Literal["openai", "anthropic", "ietf"]
BatchField = Literal[
    "endpoint", "requests", "input_file_id", "completion_window", "label", "metadata", "output_expires_after"
]
ModelExtra = Literal["windows", "card"]
ErrorKey = Literal["message", "type", "param", "code"]
Verb = Literal["accept", "reject", "drop", "require"]
AnswerVerb = Literal["accept", "drop", "null", "present", "whole", "one_text"]
Count = Annotated[int, Meta(ge=1)]
Status = Annotated[int, Meta(ge=400, le=599)]
Word = Annotated[str, Meta(min_length=1)]


class KeysTable(Section, frozen=True, kw_only=True):
    """`[keys]`: what keys look like, and where they may stand."""

    prefix: Annotated[Word, about("What issued keys begin with; an underscore follows.")]
    headers: Annotated[
        list[HeaderForm],
        Meta(min_length=1),
        about("The headers that a key may come in; others are not read."),
    ]
    most: Annotated[Count | None, about("The most keys of one account, whatever its plan.")] = None


class PlanRow(Section, frozen=True, kw_only=True):
    """`[plans.rows.NAME]`: a plan; a key that is not set is no limit."""

    rpm: Annotated[Count | None, about("Requests a minute of an organization; unset: no limit.")] = None
    tpm: Annotated[Count | None, about("Tokens a minute of an organization; unset: no limit.")] = None
    concurrency: Annotated[Count | None, about("Requests at one time; unset: no limit.")] = None
    keys: Annotated[Count | None, about("Keys of an organization; unset: no limit.")] = None
    models: Annotated[list[Word] | None, about("The models that may be asked; unset: all.")] = None
    price_factor: Annotated[Decimal, about("Times the deployment's price.")] = Decimal(1)
    weight: Annotated[Count, about("Share of capacity between organizations that wait.")] = 1
    monthly_credits: Annotated[Decimal, about("Credit that comes each month.", "USD")] = Decimal(0)
    monthly_price: Annotated[Decimal, about("What the plan costs each month.", "USD")] = Decimal(0)


class PlansTable(Section, frozen=True, kw_only=True):
    """`[plans]`: what organizations may use."""

    default: Annotated[Word, about("The plan that a new organization begins with.")]
    rows: Annotated[dict[str, PlanRow], about("The plans that ship.")]


class ErrorsRow(Section, frozen=True, kw_only=True):
    """`[errors.rows.NAME]`: NAME is a class of error (see the errors page), or a code, whose row counts for more."""

    status: Annotated[Status | None, about("The HTTP status.")] = None
    type: Annotated[Word | None, about("The object's `type`.")] = None
    code: Annotated[Word | None, about("The object's `code`.")] = None
    message: Annotated[Word | None, about("The object's message; `{message}` in it is the usual one.")] = None
    keys: Annotated[list[ErrorKey] | None, about("The object's keys, in order.")] = None


class ErrorsTable(Section, frozen=True, kw_only=True):
    """`[errors]`: how errors look."""

    envelope: Annotated[
        Literal["surface", "openai"],
        about(
            "`surface` answers in the shape of the surface's own dialect, `openai` in OpenAI's everywhere."
        ),
    ]
    keys: Annotated[list[ErrorKey], Meta(min_length=1), about("The object's keys, in order.")]
    statuses: Annotated[
        list[Status],
        about("The only statuses that errors have; any other becomes 400 or 500. Empty: all."),
    ]
    rows: Annotated[dict[str, ErrorsRow], about("What differs from the usual.")] = field(default_factory=dict)


class MessagesTable(Section, frozen=True, kw_only=True):
    """`[messages]`: what is special about `/v1/messages`."""

    versions: Annotated[
        Literal["checked", "ignored"],
        about(
            "`checked`: the header `anthropic-version` must name a version that is served, and its rules count. "
            "`ignored`: nobody looks at it, and the rules of 2023-06-01 count."
        ),
    ]


class LimitsTable(Section, frozen=True, kw_only=True):
    """`[limits]`: how limits are told."""

    headers: Annotated[list[LimitHeaders], about("The families of headers that tell limits on every answer.")]


class ModelsTable(Section, frozen=True, kw_only=True):
    """`[models]`: how models are described."""

    extras: Annotated[
        list[ModelExtra],
        about(
            "What model objects tell beside OpenAI's fields: `windows` with their prices, and `card` of one that is asked for."
        ),
    ]


class IdempotencyTable(Section, frozen=True, kw_only=True):
    """`[idempotency]`: how a retry is known."""

    longest: Annotated[int, Meta(ge=1, le=255), about("The most characters of a key.")]
    headers: Annotated[
        dict[str, list[Word]],
        about("For each surface the headers that carry a key; none: retries run again."),
    ] = field(default_factory=dict)


class StoreTable(Section, frozen=True, kw_only=True):
    """`[store]`: what is kept."""

    default: Annotated[bool, about("What `store` counts as where a request does not give it.")]


class BackgroundTable(Section, frozen=True, kw_only=True):
    """`[background]`: work that its client does not wait for."""

    surfaces: Annotated[
        list[Literal["chat", "messages", "responses"]],
        about("The surfaces that take `background`; others pass the field on as any unknown one."),
    ]
    status: Annotated[
        Annotated[int, Meta(ge=200, le=202)],
        about("The status of the answer that the work was taken, and of retries until it ends."),
    ]


class BatchesTable(Section, frozen=True, kw_only=True):
    """`[batches]`: many requests at once."""

    endpoints: Annotated[
        list[Literal["responses", "chat", "messages", "embeddings", "completions"]],
        about("The surfaces whose requests may be batched at `/v1/batches`."),
    ]
    fields: Annotated[list[BatchField], about("What a batch may be made with; others are refused.")]
    form: Annotated[
        Literal["object", "plain"],
        about(
            "`object` tells batches as OpenAI does; `plain` with `id`, `request_counts`, `created_at` and `label` alone, lists "
            "as bare arrays, and the status of each request with one that is asked for."
        ),
    ]


class WebhooksTable(Section, frozen=True, kw_only=True):
    """`[webhooks]`: what a request orders in `metadata.completion_webhook`."""

    surfaces: Annotated[
        list[Literal["chat", "messages", "responses"]],
        about("The surfaces that take it; on others it is ignored."),
    ]
    waits: Annotated[
        list[Annotated[float, Meta(ge=0, le=604_800)]],
        Meta(min_length=1, max_length=32),
        about(
            "How long is waited before each try, a tenth more or less; there are as many tries.", "seconds"
        ),
    ]
    seconds: Annotated[float, Meta(gt=0, le=60), about("In which a try must be answered.", "seconds")]
    told: Annotated[
        bool, about("Whether the record says that an address cannot be used; else it is ignored silently.")
    ]


class Range(Section, frozen=True, kw_only=True):
    """`range = { ... }`: a number's bounds, both included."""

    min: Annotated[int | float | None, about("The least.")] = None
    max: Annotated[int | float | None, about("The most.")] = None


class When(Section, frozen=True, kw_only=True):
    """`when = { ... }`: what another field must be for a rule to count; one of the three."""

    field: Annotated[Word, about("The other field.")]
    equals: Annotated[Any, about("It is this.")] = UNSET
    differs: Annotated[Any, about("It is not this, or not given.")] = UNSET
    present: Annotated[bool | None, about("It is given, or is not.")] = None


class FieldRule(Section, frozen=True, kw_only=True):
    """`[fields.SURFACE]`: `NAME = { ... }`, a list of such rules, or only a verb; null counts as not given."""

    accept: Annotated[bool, about("Passes on.")] = False
    reject: Annotated[bool, about("Is refused.")] = False
    drop: Annotated[bool, about("Is accepted and ignored.")] = False
    require: Annotated[bool, about("Must be given.")] = False
    one_of: Annotated[list[Any] | None, about("Must be one of these values.")] = None
    range: Annotated[Range | None, about("Is a number between these.")] = None
    max_len: Annotated[Count | None, about("Has at most so many characters, items or properties.")] = None
    check: Annotated[Word | None, about("Passes this named check.")] = None
    default: Annotated[Any, about("Is this where it is not given.")] = UNSET
    set: Annotated[Any, about("Is this, whatever is given.")] = UNSET
    becomes: Annotated[Word | None, about("Is rewritten by this named rewrite.")] = None
    when: Annotated[When | None, about("The rule counts only if another field is so.")] = None
    error: Annotated[Word | None, about("The code of the refusal.")] = None
    note: Annotated[str, about("A sentence that the refusal and the reference add.")] = ""


Rule = Verb | FieldRule | list[FieldRule]


class AnswerRule(Section, frozen=True, kw_only=True):
    """`[answers.SURFACE]`: `"PATH" = { ... }`, or only a verb; dots lead into objects, and into each one of a list."""

    accept: Annotated[bool, about("Passes on.")] = False
    drop: Annotated[bool, about("Is taken out.")] = False
    null: Annotated[bool, about("Is null, whatever the target gave.")] = False
    present: Annotated[bool, about("Is null where the target gave none.")] = False
    whole: Annotated[bool, about("Comes in one piece: `choices.delta.tool_calls` alone.")] = False
    one_text: Annotated[
        bool,
        about("Is one block of text, of all texts; other blocks are taken out: `content` of messages alone."),
    ] = False
    copy: Annotated[Word | None, about("Is what this field beside it is, where that is given.")] = None
    rename: Annotated[Word | None, about("Is known by this name.")] = None
    prefix: Annotated[
        Word | None, about("Begins so; letters and digits up to a first `-` or `_` give way to it.")
    ] = None
    told: Annotated[dict[str, Word] | None, about("Values that are told as others.")] = None
    default: Annotated[Any, about("Is this where the target gave none.")] = UNSET
    note: Annotated[str, about("A sentence that the reference adds.")] = ""


Told = AnswerVerb | AnswerRule


class PresetFile(Section, frozen=True, kw_only=True):
    """The file: whom it stands in for."""

    about: Annotated[Word, about("Whom the preset stands in for, in one sentence.")]
    keys: Annotated[KeysTable, about("See below.")]
    plans: Annotated[PlansTable, about("See below.")]
    errors: Annotated[ErrorsTable, about("See below.")]
    messages: Annotated[MessagesTable, about("See below.")]
    limits: Annotated[LimitsTable, about("See below.")]
    store: Annotated[StoreTable, about("See below.")]
    idempotency: Annotated[IdempotencyTable, about("See below.")]
    models: Annotated[ModelsTable, about("See below.")]
    background: Annotated[BackgroundTable, about("See below.")]
    batches: Annotated[BatchesTable, about("See below.")]
    webhooks: Annotated[WebhooksTable, about("See below.")]
    surfaces: Annotated[list[SurfaceName], Meta(min_length=1), about("The surfaces that are there.")]
    extends: Annotated[Word | None, about("The preset whose tables these come on top of.")] = None
    fields: Annotated[dict[str, dict[str, Rule]], about("Rules on the fields of requests.")] = field(
        default_factory=dict
    )
    answers: Annotated[dict[str, dict[str, Told]], about("Rules on the fields of answers.")] = field(
        default_factory=dict
    )


def rules_of(rule: Rule) -> tuple[FieldRule, ...]:
    """A field's rules in their full form: `reject` alone is short for `{ reject = true }`."""
    if isinstance(rule, str):
        flags: Mapping[str, FieldRule] = {
            "accept": FieldRule(accept=True),
            "reject": FieldRule(reject=True),
            "drop": FieldRule(drop=True),
            "require": FieldRule(require=True),
        }
        return (flags[rule],)
    return tuple(rule) if isinstance(rule, list) else (rule,)


def answer_rule(said: Told) -> AnswerRule:
    """A rule on an answer's field in its full form."""
    if isinstance(said, str):
        flags: Mapping[str, AnswerRule] = {
            "accept": AnswerRule(accept=True),
            "drop": AnswerRule(drop=True),
            "null": AnswerRule(null=True),
            "present": AnswerRule(present=True),
            "whole": AnswerRule(whole=True),
            "one_text": AnswerRule(one_text=True),
        }
        return flags[said]
    return said
