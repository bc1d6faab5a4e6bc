"""The canonical answer: what a target said, why it ended and what it counted.

Decides which ends and counts the three dialects have in common. Knows no price.
"""

from typing import Literal

from msgspec import Raw, Struct

from ingot.canonical.parts import AnyPart, Extras, Origin

# What each dialect calls these is in the tables of `dialects.finishes`; `other` keeps the target's own word.
FinishReason = Literal[
    "stop",  # the model was done
    "stop_sequence",
    "length",
    "context_length",  # the context window is full
    "tool_calls",
    "pause",  # a hosted tool's turn is to be continued
    "content_filter",
    "refusal",
    "other",
]


class Usage(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Tokens. `cached_input` and `cache_write` are parts of `input`, `reasoning` of `output`, audio of either.

    `cache_write_by` splits `cache_write` by time to live. None: the target did not say.
    """

    input: int = 0
    output: int = 0
    cached_input: int | None = None
    cache_write: int | None = None
    cache_write_by: dict[str, int] = {}
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    extras: Extras | None = None


class Logprobs(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Log probabilities of tokens in OpenAI's shape, each as raw JSON.

    Of one part, or, with None, of all parts of this kind: `chat` does not say which.
    """

    tokens: tuple[Raw, ...]
    kind: Literal["text", "refusal"] = "text"
    part: int | None = None


class Failure(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What a target says went wrong, in its own words."""

    message: str
    type: str | None = None
    code: str | None = None
    param: str | None = None


class Output(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One alternative of an answer. `finish` is None where it broke off; `told` is the target's word for `other`.

    `message_extras` are those of the message inside of a choice of `chat`, which has two places for them.
    """

    index: int = 0
    parts: tuple[AnyPart, ...] = ()
    finish: FinishReason | None = None
    told: str | None = None
    stop_sequence: str | None = None
    logprobs: tuple[Logprobs, ...] = ()
    extras: Extras | None = None
    message_extras: Extras | None = None


class Answer(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What a target answered, whole, or as far as it came: then `complete` is false, with a `failure` if one was told.

    `created` is in Unix seconds, None where the dialect does not say; `outputs` are in order of their index.
    """

    origin: Origin
    id: str
    model: str
    outputs: tuple[Output, ...]
    created: float | None = None
    usage: Usage | None = None
    service_tier: str | None = None
    fingerprint: str | None = None
    complete: bool = True
    failure: Failure | None = None
    extras: Extras | None = None
