"""A whole messages request, both ways.

Decides which of its fields is which canonical setting, and what of a request's settings this dialect, its version and
a target's quirks leave out. Fields without a place in the canonical form stay raw, and go back to this dialect alone.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Raw

from ingot.canonical import (
    CacheSettings,
    Extras,
    JsonSchemaFormat,
    Loss,
    Losses,
    OutputFormat,
    Request,
    kind_at,
    lost_extras,
)
from ingot.dialects.codec import Destination
from ingot.dialects.codecs.checks import missing
from ingot.dialects.codecs.leftovers import extras_of, restore, unknown
from ingot.dialects.codecs.messages import checks
from ingot.dialects.codecs.messages.block_writer import encode_hint
from ingot.dialects.codecs.messages.blocks import CACHE, decode_hint
from ingot.dialects.codecs.messages.messages import MessageWriter
from ingot.dialects.codecs.messages.thinking import ThinkingWriter, decode_reasoning
from ingot.dialects.codecs.messages.tools import (
    allowed_names,
    decode_choice,
    decode_tools,
    encode_choice,
    encode_tools,
    tool_names,
)
from ingot.dialects.codecs.messages.turns import decode_turns
from ingot.dialects.codecs.messages.versions import SAMPLING, Rules
from ingot.dialects.codecs.prefill import prefilled
from ingot.dialects.codecs.sequence import results_first
from ingot.dialects.codecs.settings import apply_edits, left_out
from ingot.dialects.codecs.speakers import introduced
from ingot.errors import Unsupported
from ingot.rawjson import Body

Json = dict[str, Any]

# This dialect demands a bound of the output, others do not. All models of the fourth generation of Claude and later
# can write that much.
MAX_TOKENS: Final = 32_000

_KNOWN: Final = frozenset(
    {
        "model",
        "max_tokens",
        "messages",
        "system",
        "stop_sequences",
        "stream",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "metadata",
        "service_tier",
        "cache_control",
        *SAMPLING,
    }
)
_PLACES: Final = {
    "turns": "messages",
    "max_output_tokens": "max_tokens",
    "stop": "stop_sequences",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "output_format": "output_config.format",
    "reasoning": "thinking",
    "reasoning.effort": "output_config.effort",
    "reasoning.budget": "thinking.budget_tokens",
    "reasoning.mode": "thinking.type",
    "reasoning.summary": "thinking.display",
    "user": "metadata.user_id",
    "cache.hint": "cache_control",
}
_SETTINGS: Final = {
    "max_tokens": "max_output_tokens",
    "stop_sequences": "stop",
    "metadata": "user",
    "thinking": "reasoning",
    "output_config": "output_format",
    "cache_control": "cache.hint",
}
_TIERS: Final = {"auto": "auto", "standard_only": "standard_only", "default": "standard_only"}

_objects = msgspec.json.Decoder(dict[str, Raw])
_value = msgspec.json.Decoder().decode
_SEALS: Final = b'["reasoning.encrypted_content"]'

_encode = msgspec.json.Encoder().encode


# --- decoding ---


def decode_request(body: Body, *, rules: Rules) -> tuple[Request, Losses]:
    """The request of a body; raises ClientError where it is none of this version."""
    value, raw = body.value, body.raw
    _check_version(value, rules)
    model = checks.text(value, "model")
    if model is None:
        raise missing("model", expected="a string")
    rest = {name: raw[name] for name in value if name not in _KNOWN and value[name] is not None}
    metadata = checks.members(value, "metadata") or {}
    rest.update(unknown(metadata, ("user_id",), inside="metadata"))
    choice, parallel = decode_choice(value)
    hint = decode_hint(value)
    if hint is None and value.get(CACHE) is not None:
        rest[CACHE] = raw[CACHE]
    turns = decode_turns(value, rules)
    reasoning = decode_reasoning(value, rest)
    request = Request(
        origin="messages",
        model=model,
        turns=turns,
        tools=decode_tools(value, raw["tools"]) if value.get("tools") else (),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        output_format=_decode_format(value, raw, rest),
        reasoning=reasoning,
        max_output_tokens=checks.integer(value, "max_tokens"),
        stop=checks.texts(value, "stop_sequences"),
        temperature=checks.number(value, "temperature"),
        top_p=checks.number(value, "top_p"),
        top_k=checks.integer(value, "top_k"),
        user=checks.text(metadata, "user_id", path="metadata"),
        cache=None if hint is None else CacheSettings(hint=hint),
        service_tier=checks.text(value, "service_tier"),
        stream=checks.switch(value, "stream") is True,
        extras=extras_of(rest, "messages"),
        places=_PLACES,
    )
    return request, ()


def _check_version(value: Json, rules: Rules) -> None:
    if rules.sampling:
        return
    for name in SAMPLING:
        if name in value:
            raise Unsupported(
                f"{name}: Extra inputs are not permitted under anthropic-version {rules.version}. Leave it out.",
                param=name,
                code="unknown_parameter",
            )


def _decode_format(value: Json, raw: dict[str, Raw], rest: dict[str, Raw]) -> OutputFormat | None:
    """The format of the answer; what else `output_config` holds goes to `rest`."""
    config = value.get("output_config")
    if not config:
        return None
    held = checks.members(config, "format", path="output_config")
    rest.update(unknown(config, ("format", "effort"), inside="output_config"))
    if held is None:
        return None
    fields = _objects.decode(_objects.decode(raw["output_config"])["format"])
    if held.get("type") != "json_schema" or type(held.get("schema")) is not dict or len(held) > 2:
        rest["output_config.format"] = Raw(_encode(fields))
        return None
    return JsonSchemaFormat(schema=fields["schema"])


# --- encoding ---


def encode_request(request: Request, to: Destination, *, rules: Rules) -> tuple[bytes, Losses]:
    """The body for a target, and what of the request it does not say."""
    writer = MessageWriter(request, origin=to.origin, rules=rules)
    losses = writer.losses
    value: Json = {"model": to.model, "max_tokens": _bound(request, losses)}
    turns, unnamed = introduced(request, "messages")
    losses += unnamed
    if request.origin != "messages":
        turns, moved = results_first(turns)
        losses += moved
    system, messages = writer.write(turns)
    if system is not None:
        value["system"] = system
    value["messages"] = messages
    _encode_tools(request, value, losses)
    losses += _encode_format(request, value)
    thinking = ThinkingWriter(request, to, rules)
    thinking.write(value)
    losses += thinking.losses
    losses += prefilled(request, "messages", thinks=_thinks(value))
    losses += _encode_sampling(request, value, rules)
    losses += _encode_settings(request, value)
    losses += _lost_settings(request)
    if to.stream:
        value["stream"] = True
    _restore_extras(request.extras, value)
    losses += [loss for loss in lost_extras(request.extras, "messages") if not _is_kept(loss, request)]
    losses += left_out(request, value, quirks=to.quirks, settings=_SETTINGS)
    apply_edits(value, to.quirks)
    return _encode(value), tuple(losses)


def _is_kept(loss: Loss, request: Request) -> bool:
    """Whether a wish of another dialect is fulfilled by itself: thoughts always come with their seal."""
    return (
        loss.path == "include"
        and request.extras is not None
        and bytes(request.extras.fields["include"]) == _SEALS
    )


def _bound(request: Request, losses: list[Loss]) -> int:
    if request.max_output_tokens is not None:
        return request.max_output_tokens
    reason = f"the messages dialect demands a bound of the output, and none was given: {MAX_TOKENS} was sent"
    losses.append(Loss(request.place("max_output_tokens"), "default", reason))
    return MAX_TOKENS


def _encode_tools(request: Request, value: Json, losses: list[Loss]) -> None:
    path = request.place("tool_choice")
    allowed = allowed_names(request.tool_choice, losses, path=path)
    tools = encode_tools(request.tools, losses, allowed=allowed, native=request.origin == "messages")
    if tools:
        value["tools"] = tools
    choice = encode_choice(
        request.tool_choice,
        losses,
        parallel=request.parallel_tool_calls,
        path=path,
        offered=tool_names(tools),
    )
    if choice is not None:
        value["tool_choice"] = choice


def _encode_format(request: Request, value: Json) -> Iterator[Loss]:
    form = request.output_format
    if form is None:
        return
    place = request.place("output_format")
    if not isinstance(form, JsonSchemaFormat) or not isinstance(form.schema, Raw):
        yield Loss(place, "format", "the messages dialect promises JSON of a schema only")
        return
    schema, said = _described(form.schema, form.description)
    # The name is a mere label, for which this dialect has no need.
    value["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    if not said:
        yield Loss(
            place,
            "format",
            "the description beside the schema: the schema has another, and the target takes one",
        )
    yield from lost_extras(form.extras, "messages", at=place)


def _described(schema: Raw, description: str | None) -> tuple[Raw, bool]:
    """The schema with what is said beside it, for which this dialect has no place, and whether that is said now."""
    if description is None:
        return schema, True
    fields = _objects.decode(schema)
    if "description" in fields:
        return schema, _value(fields["description"]) == description
    return Raw(_encode({"description": description, **fields})), True


def _thinks(value: Json) -> bool:
    return value.get("thinking", {}).get("type") in {"enabled", "adaptive"}


def _encode_sampling(request: Request, value: Json, rules: Rules) -> Iterator[Loss]:
    thinks = _thinks(value)
    for name in SAMPLING:
        told = getattr(request, name)
        if told is None:
            continue
        # The default of all dialects.
        neutral = told == 1 and name != "top_k"
        if not rules.sampling:
            if not neutral:
                yield Loss(
                    request.place(name), "setting", f"anthropic-version {rules.version} does not take it"
                )
        elif request.origin == "messages":
            value[name] = told
        elif thinks and not neutral:
            yield Loss(
                request.place(name), "setting", "a model that thinks does not take it in the messages dialect"
            )
        elif name == "temperature" and told > 1:
            yield Loss(request.place(name), "setting", "the messages dialect goes up to 1, which was sent")
            value[name] = 1
        else:
            value[name] = told


def _encode_settings(request: Request, value: Json) -> Iterator[Loss]:
    """What goes by another name or other values."""
    if request.stop:
        value["stop_sequences"] = list(request.stop)
    user = request.safety_identifier or request.user
    if user is not None:
        value["metadata"] = {"user_id": user}
    if request.user is not None and request.user != user:
        yield Loss(
            request.place("user"),
            "identity",
            "the messages dialect has one place for it and safety_identifier",
        )
    tier = request.service_tier
    if tier in _TIERS:
        value["service_tier"] = _TIERS[tier]
    elif tier is not None:
        yield Loss(request.place("service_tier"), "speed", f"the messages dialect knows no tier '{tier}'")
    if request.cache is not None:
        yield from _encode_cache(request, request.cache, value)


def _encode_cache(request: Request, told: CacheSettings, value: Json) -> Iterator[Loss]:
    if told.hint is not None:
        losses: list[Loss] = []
        value[CACHE] = encode_hint(told.hint, losses, path=request.place("cache.hint"))
        yield from losses
    for name in ("key", "retention", "options"):
        held = getattr(told, name)
        if held is not None and held is not msgspec.UNSET:
            reason = "the messages dialect caches up to breakpoints, and has no such setting"
            yield Loss(request.place(f"cache.{name}"), "cache_settings", reason)


def _lost_settings(request: Request) -> Iterator[Loss]:
    """Settings without any place here, where they ask for anything."""
    told: dict[str, bool] = {
        "n": (request.n or 1) > 1,
        "frequency_penalty": bool(request.frequency_penalty),
        "presence_penalty": bool(request.presence_penalty),
        "seed": request.seed is not None,
        "logit_bias": request.logit_bias is not msgspec.UNSET,
        "logprobs": bool(request.logprobs),
        "top_logprobs": bool(request.top_logprobs),
        "verbosity": request.verbosity not in {None, "medium"},
        # With `store` they are kept by us, not by the target.
        "metadata": bool(request.metadata) and not request.store,
    }
    for name, asks in told.items():
        if asks:
            place = request.place(name)
            yield Loss(place, kind_at(place, otherwise="setting"), "the messages dialect has no such setting")


def _restore_extras(extras: Extras | None, value: Json) -> None:
    if extras is None or extras.dialect != "messages":
        return
    for name in extras.fields:
        holder, _, inner = name.partition(".")
        if inner:
            value.setdefault(holder, {})
    restore(extras, value, dialect="messages")
