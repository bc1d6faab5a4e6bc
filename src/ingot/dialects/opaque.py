"""Embeddings and legacy completions: checked at the door, otherwise passed through as they are.

Decides what a request must be, field by field, so that a mistake is told in our words and not in some upstream's.
Knows nothing of what the answers hold but their usage. Source: contract §4.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ingot import rawjson
from ingot.dialects.chat import CHAT, streamless
from ingot.dialects.chat_request import Name, Penalty, Positive, Rows, StreamOptions
from ingot.dialects.complaint import complain
from ingot.dialects.constitution import leave_preface, refuse_preface
from ingot.dialects.dialect import Call
from ingot.errors import InvalidRequest

INPUTS = 2048
"""The most inputs that one embeddings request may hold; how long each may be is the model's to say."""

Token = Annotated[int, Meta(ge=0)]


class EmbeddingsRequest(Rows, frozen=True, kw_only=True):
    """`POST /embeddings`, field by field; `input` may be text, texts, tokens, or lists of tokens."""

    input: (
        Name | Annotated[list[Name | Token | Annotated[list[Token], Meta(min_length=1)]], Meta(min_length=1)]
    )
    model: Name
    dimensions: Positive | UnsetType = UNSET
    encoding_format: Literal["float", "base64"] | UnsetType = UNSET
    user: str | UnsetType = UNSET


class CompletionsRequest(Rows, frozen=True, kw_only=True):
    """`POST /completions`, field by field; `prompt` has the kinds of an embedding's input."""

    model: Name
    prompt: (
        str | Annotated[list[str | Token | Annotated[list[Token], Meta(min_length=1)]], Meta(min_length=1)]
    )
    best_of: Annotated[int, Meta(ge=0, le=20)] | None = None
    echo: bool | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    max_tokens: Annotated[int, Meta(ge=0)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    presence_penalty: Penalty | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: str | Annotated[list[str], Meta(min_length=1, max_length=4)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    suffix: str | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    user: str | UnsetType = UNSET


def decode_embeddings(data: bytes) -> Call:
    """An embeddings request, checked; raises InvalidRequest that names the field and what would be right."""
    body = rawjson.parse(data)
    try:
        request = msgspec.convert(body.value, EmbeddingsRequest)
    except msgspec.ValidationError as error:
        raise complain(error, body.value, EmbeddingsRequest) from error
    if type(request.input) is list:
        _check_one_kind(request.input, "input")
        if type(request.input[0]) is not int and len(request.input) > INPUTS:
            raise InvalidRequest(
                f"'input' has too many items: {len(request.input)}, and at most {INPUTS} are accepted.",
                param="input",
                code="array_above_max_length",
            )
    return Call(model=request.model, body=body, max_tokens=0)


def decode_completions(data: bytes) -> Call:
    """A legacy completions request, checked; raises InvalidRequest that names the field and what would be right."""
    body = rawjson.parse(data)
    try:
        request = msgspec.convert(body.value, CompletionsRequest)
    except msgspec.ValidationError as error:
        raise complain(error, body.value, CompletionsRequest) from error
    options = request.stream_options
    if options is not None and not request.stream:
        raise streamless(body.value)
    if type(request.prompt) is list:
        _check_one_kind(request.prompt, "prompt")
    n = request.n or 1
    if request.best_of and request.best_of < n:
        raise InvalidRequest(
            f"'best_of' is {request.best_of} and 'n' is {n}: 'best_of' must be at least 'n'.", param="best_of"
        )
    prompts = len(request.prompt) if _prompts(request.prompt) else 1
    return Call(
        model=request.model,
        body=body,
        stream=request.stream is True,
        wants_usage=options is not None and options.include_usage is True,
        n=n * prompts,
        drafts=max(n, request.best_of or 0) * prompts,
        max_tokens=request.max_tokens,
    )


def _prompts(prompt: object) -> bool:
    """Whether this is a list of prompts, each of which gets answers; tokens in a flat list are one prompt."""
    return type(prompt) is list and type(prompt[0]) is not int


def _check_one_kind(items: Sequence[object], field: str) -> None:
    kinds = set(map(type, items))
    if len(kinds) > 1:
        raise InvalidRequest(
            f"'{field}' mixes kinds: expected only strings, only token ids, or only arrays of token ids.",
            param=field,
            code="invalid_type",
        )


EMBEDDINGS = replace(
    CHAT, name="embeddings", path="/embeddings", decode=decode_embeddings, preface=leave_preface
)
COMPLETIONS = replace(
    CHAT, name="completions", path="/completions", decode=decode_completions, preface=refuse_preface
)
