"""A whole request for a target, encoded.

Decides what of a request's settings this dialect and a target's quirks leave out. What a target rejects is a `Loss`
here, not an error: what becomes of losses is the deployment's to say.

Whether the target stores the answer is the wish of a client of this dialect, passed on. In other dialects nothing is
stored, or by us, but a target of this one stores all that it is not told not to.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import UNSET

from ingot.canonical import (
    Extras,
    JsonSchemaFormat,
    Loss,
    Losses,
    ReasoningSettings,
    Request,
    kind_at,
    lost_extras,
)
from ingot.dialects.codec import Destination
from ingot.dialects.codecs.leftovers import restore
from ingot.dialects.codecs.prefill import prefilled
from ingot.dialects.codecs.responses.requests import LOGPROBS, SAME
from ingot.dialects.codecs.responses.tools import encode_choice, encode_format, encode_tools, names_of
from ingot.dialects.codecs.responses.writer import ItemWriter
from ingot.dialects.codecs.settings import apply_edits, effort_told, encode_cache, left_out
from ingot.dialects.codecs.speakers import introduced

Json = dict[str, Any]

_TIERS: Final = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})
_SUMMARIES: Final = frozenset({"auto", "concise", "detailed"})
# The setting of each field that goes by another name.
_SETTINGS: Final = {
    "input": "turns",
    "text": "output_format",
    "include": "logprobs",
    "prompt_cache_key": "cache.key",
    "prompt_cache_retention": "cache.retention",
    "prompt_cache_options": "cache.options",
}
_OPTION: Final = "stream_options."
_STORED: Final = frozenset({"store"})

_encode = msgspec.json.Encoder().encode


def encode_request(request: Request, to: Destination) -> tuple[bytes, Losses]:
    """The body for a target, and what of the request it does not say."""
    writer = ItemWriter(request, origin=to.origin, quirks=to.quirks)
    value: Json = {"model": to.model}
    turns, unnamed = introduced(request, "responses")
    told = writer.write(turns)
    losses = unnamed + writer.losses + prefilled(request, "responses")
    if writer.instructions is not None:
        value["instructions"] = writer.instructions
    if told or request.origin != "responses":
        value["input"] = told
    _encode_tools(request, to, value=value, losses=losses)
    for name in SAME:
        held = getattr(request, name)
        if held is not None:
            value[name] = held
    losses += _encode_settings(request, value)
    losses += _lost_settings(request)
    if to.stream:
        value["stream"] = True
        if request.obfuscation is not None:
            value["stream_options"] = {"include_obfuscation": request.obfuscation}
    _restore_extras(request.extras, value)
    losses += lost_extras(request.extras, "responses")
    losses += left_out(request, value, quirks=to.quirks, settings=_SETTINGS)
    apply_edits(value, to.quirks, hidden=_STORED)
    return _encode(value), tuple(losses)


def _encode_tools(request: Request, to: Destination, *, value: Json, losses: list[Loss]) -> None:
    native = request.origin == "responses"
    custom = "tools.custom" not in to.quirks.reject
    tools = encode_tools(request.tools, losses, custom=custom, native=native)
    if tools:
        value["tools"] = tools
    if request.tool_choice is not None:
        choice = encode_choice(
            request.tool_choice, losses, path=request.place("tool_choice"), offered=names_of(tools)
        )
        if choice is not None:
            value["tool_choice"] = choice


def _encode_settings(request: Request, value: Json) -> Iterator[Loss]:
    """What goes by another name or other values."""
    if request.max_output_tokens == 0:
        value["max_output_tokens"] = 1
        yield Loss(
            request.place("max_output_tokens"),
            "setting",
            "the responses dialect generates at least one token",
        )
    if request.origin != "responses":
        _encode_foreign(request, value)
    yield from _encode_text(request, value)
    if request.reasoning is not None:
        yield from _encode_reasoning(request, request.reasoning, value=value)
    if request.logprobs:
        value["include"] = [LOGPROBS]
    if request.top_logprobs is not None and (request.logprobs or request.origin == "responses"):
        value["top_logprobs"] = request.top_logprobs
    if request.cache is not None:
        yield from encode_cache(request, request.cache, value=value, dialect="responses")
    tier = request.service_tier
    if tier is not None and tier not in _TIERS and request.origin != "responses":
        del value["service_tier"]
        if tier == "standard_only":
            value["service_tier"] = "default"
        else:
            yield Loss(
                request.place("service_tier"), "speed", f"the responses dialect knows no tier '{tier}'"
            )


def _encode_foreign(request: Request, value: Json) -> None:
    """What a client of another dialect wishes by saying nothing."""
    if request.store:
        # We keep the answer, and its metadata with it.
        value.pop("metadata", None)
    value["store"] = False
    # Where no tool is left to be called they ask for nothing.
    if "tools" not in value:
        value.pop("parallel_tool_calls", None)
        value.pop("tool_choice", None)


def _encode_text(request: Request, value: Json) -> Iterator[Loss]:
    text: Json = {}
    form = request.output_format
    if form is not None:
        text["format"] = encode_format(form)
        if isinstance(form, JsonSchemaFormat):
            yield from lost_extras(form.extras, "responses", at=request.place("output_format"))
    if request.verbosity is not None:
        text["verbosity"] = request.verbosity
    if text:
        value["text"] = text


def _encode_reasoning(request: Request, told: ReasoningSettings, *, value: Json) -> Iterator[Loss]:
    encoded: Json = {}
    effort, losses = effort_told(request, told, "responses")
    yield from losses
    if effort is not None:
        encoded["effort"] = effort
    if told.summary in _SUMMARIES or (told.summary is not None and request.origin == "responses"):
        encoded["summary"] = told.summary
    restore(told.extras, encoded, dialect="responses")
    if encoded:
        value["reasoning"] = encoded
    yield from lost_extras(told.extras, "responses", at=request.place("reasoning"))


def _lost_settings(request: Request) -> Iterator[Loss]:
    """Settings without any place here, where they ask for anything."""
    told = {
        "n": (request.n or 1) > 1,
        "stop": bool(request.stop),
        "top_k": request.top_k is not None,
        "frequency_penalty": bool(request.frequency_penalty),
        "presence_penalty": bool(request.presence_penalty),
        "seed": request.seed is not None,
        "logit_bias": request.logit_bias is not UNSET,
    }
    for name, asks in told.items():
        if asks:
            place = request.place(name)
            yield Loss(
                place, kind_at(place, otherwise="setting"), "the responses dialect has no such setting"
            )


def _restore_extras(extras: Extras | None, value: Json) -> None:
    """Fields of this dialect go back; options of a stream only to a target that streams."""
    if extras is None or extras.dialect != "responses":
        return
    fields = dict(extras.fields)
    wishes = fields.pop("include", None)
    if wishes is not None:
        value["include"] = [*msgspec.json.decode(wishes), *value.get("include", ())]
    for name in list(fields):
        holder, _, inner = name.partition(".")
        if name.startswith(_OPTION) and "stream" not in value:
            del fields[name]
        elif inner:
            value.setdefault(holder, {})
    restore(Extras("responses", fields), value, dialect="responses")
