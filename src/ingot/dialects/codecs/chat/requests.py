"""A whole chat request, both ways.

Decides which of its fields is which canonical setting, and what of a request's settings `chat` and a target's quirks
leave out. Fields without a place in the canonical form stay raw, and go back to chat alone. What a target rejects is
a `Loss` here, not an error: what becomes of losses is the deployment's to say.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw

from ingot.canonical import (
    CacheSettings,
    Extras,
    JsonSchemaFormat,
    Loss,
    Losses,
    ReasoningSettings,
    Request,
    lost_extras,
)
from ingot.dialects.codec import Destination
from ingot.dialects.codecs.chat.choices import ASKS_STOP
from ingot.dialects.codecs.chat.messages import MessageWriter
from ingot.dialects.codecs.chat.tools import (
    decode_choice,
    decode_format,
    decode_tools,
    encode_choice,
    encode_format,
    encode_tools,
)
from ingot.dialects.codecs.chat.turns import decode_turns
from ingot.dialects.codecs.leftovers import extras_of, restore
from ingot.dialects.codecs.prefill import prefilled
from ingot.dialects.codecs.sequence import results_first
from ingot.dialects.codecs.settings import effort_told, encode_cache, left_out
from ingot.dialects.outgoing import edits
from ingot.rawjson import Body

Json = dict[str, Any]

# The same name and the same values on both sides.
_SAME: Final = (
    "verbosity",
    "n",
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "logprobs",
    "top_logprobs",
    "metadata",
    "user",
    "safety_identifier",
    "service_tier",
    "store",
)
# The setting of each field that is read by itself.
_OTHER: Final = {
    "model": "model",
    "messages": "messages",
    "stream": "stream",
    "max_completion_tokens": "max_output_tokens",
    "stop": "stop",
    "tools": "tools",
    "tool_choice": "tool_choice",
    "parallel_tool_calls": "parallel_tool_calls",
    "response_format": "output_format",
    "reasoning_effort": "reasoning.effort",
    "logit_bias": "logit_bias",
    "prompt_cache_key": "cache.key",
    "prompt_cache_retention": "cache.retention",
    "prompt_cache_options": "cache.options",
    "top_k": "top_k",
}
_SETTINGS: Final = {**{name: name for name in _SAME}, **_OTHER}
_KNOWN: Final = frozenset({*_SETTINGS, "max_tokens", "modalities", "stream_options"})
_PLACES: Final = {
    "detail": "image_url.detail",
    "filename": "file.filename",
    **{setting: field for field, setting in _OTHER.items() if setting != field},
    "stream_usage": "stream_options.include_usage",
    "obfuscation": "stream_options.include_obfuscation",
}
_OLD_PLACES: Final = {**_PLACES, "max_output_tokens": "max_tokens"}

_OPTION: Final = "stream_options."
_OPTIONS: Final = frozenset({"include_usage", "include_obfuscation"})
_TIERS: Final = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
_MOST_STOPS: Final = 4

_encode = msgspec.json.Encoder().encode


# --- decoding ---


def decode_request(body: Body) -> tuple[Request, Losses]:
    """The request of a body that `chat.decode` has checked."""
    value = body.value
    raw = body.raw
    settings: Json = {name: value[name] for name in _SAME if value.get(name) is not None}
    rest = {name: raw[name] for name in value if name not in _KNOWN}
    places = _PLACES
    most, old = value.get("max_completion_tokens"), value.get("max_tokens")
    if most is None and old is not None:
        most, places = old, _OLD_PLACES
    elif old is not None:
        rest["max_tokens"] = raw["max_tokens"]
    # The default asks for nothing.
    if value.get("modalities") not in (None, ["text"]):
        rest["modalities"] = raw["modalities"]
    top_k = value.get("top_k")
    if top_k is not None and type(top_k) is not int:
        rest["top_k"] = raw["top_k"]
        top_k = None
    stop = value.get("stop")
    options = value.get("stream_options") or {}
    for name in options:
        if name not in _OPTIONS:
            rest[_OPTION + name] = Raw(_encode(options[name]))
    effort = value.get("reasoning_effort")
    request = Request(
        origin="chat",
        model=value["model"],
        turns=decode_turns(value["messages"]),
        tools=decode_tools(raw["tools"]) if value.get("tools") else (),
        tool_choice=decode_choice(value.get("tool_choice")),
        parallel_tool_calls=value.get("parallel_tool_calls"),
        output_format=decode_format(raw["response_format"]) if value.get("response_format") else None,
        reasoning=None if effort is None else ReasoningSettings(effort=effort),
        max_output_tokens=most,
        stop=() if stop is None else (stop,) if isinstance(stop, str) else tuple(stop),
        top_k=top_k,
        logit_bias=raw["logit_bias"] if value.get("logit_bias") else UNSET,
        cache=_decode_cache(value, raw),
        stream=value.get("stream") is True,
        stream_usage=options.get("include_usage") is True,
        obfuscation=options.get("include_obfuscation"),
        extras=extras_of(rest, "chat"),
        places=places,
        **settings,
    )
    return request, ()


def _decode_cache(value: Json, raw: dict[str, Raw]) -> CacheSettings | None:
    key, retention = value.get("prompt_cache_key"), value.get("prompt_cache_retention")
    options = raw["prompt_cache_options"] if value.get("prompt_cache_options") else UNSET
    if key is None and retention is None and options is UNSET:
        return None
    return CacheSettings(key=key, retention=retention, options=options)


# --- encoding ---


def encode_request(request: Request, to: Destination) -> tuple[bytes, Losses]:
    """The body for a target, and what of the request it does not say."""
    writer = MessageWriter(request, origin=to.origin, quirks=to.quirks)
    turns, moved = (request.turns, []) if request.origin == "chat" else results_first(request.turns)
    value: Json = {"model": to.model, "messages": writer.write(turns)}
    losses = moved + writer.losses + prefilled(request, "chat")
    _encode_tools(request, to, value=value, losses=losses)
    for name in _SAME:
        told = getattr(request, name)
        if told is not None:
            value[name] = told
    _encode_logprobs(request, value)
    losses += _encode_settings(request, value)
    if to.stream:
        _encode_stream(request, value)
    _restore_extras(request.extras, value)
    losses += lost_extras(request.extras, "chat")
    losses += left_out(request, value, quirks=to.quirks, settings=_SETTINGS)
    replace, drop = edits(
        value,
        raw=lambda key: _encode(value[key]),
        stream=to.stream,
        force_usage=not request.stream_usage,
        quirks=to.quirks,
    )
    for key in drop:
        value.pop(key, None)
    value.update({key: Raw(new) for key, new in replace.items()})
    if "stop" in value and to.quirks.tells_stop and request.origin == "messages":
        # The other dialects have no place for it.
        value.update(ASKS_STOP)
    return _encode(value), tuple(losses)


def _encode_tools(request: Request, to: Destination, *, value: Json, losses: list[Loss]) -> None:
    tools = encode_tools(request.tools, losses, custom="tools.custom" not in to.quirks.reject)
    if tools:
        value["tools"] = tools
    if request.tool_choice is not None:
        offered = {(tool["type"], tool[tool["type"]]["name"]) for tool in tools}
        choice = encode_choice(
            request.tool_choice, losses, path=request.place("tool_choice"), offered=offered
        )
        if choice is not None:
            value["tool_choice"] = choice
    # Where no tool is left to be called it asks for nothing, and some targets refuse it.
    if request.parallel_tool_calls is not None and (tools or request.origin == "chat"):
        value["parallel_tool_calls"] = request.parallel_tool_calls
    form = request.output_format
    if form is not None:
        value["response_format"] = encode_format(form)
        if isinstance(form, JsonSchemaFormat):
            losses += lost_extras(form.extras, "chat", at=request.place("output_format"))


def _encode_logprobs(request: Request, value: Json) -> None:
    """A number of log probabilities needs a switch here, which other dialects do without."""
    if request.origin == "chat" or request.top_logprobs is None or request.logprobs is not None:
        return
    if request.top_logprobs:
        value["logprobs"] = True
    else:
        del value["top_logprobs"]


def _encode_settings(request: Request, value: Json) -> Iterator[Loss]:
    """What goes by another name or other values."""
    if request.max_output_tokens == 0:
        yield Loss(
            request.place("max_output_tokens"), "setting", "the chat dialect generates at least one token"
        )
    if request.max_output_tokens is not None:
        value["max_completion_tokens"] = max(request.max_output_tokens, 1)
    if request.stop:
        value["stop"] = list(request.stop[:_MOST_STOPS])
    if len(request.stop) > _MOST_STOPS:
        yield Loss(
            request.place("stop"),
            "setting",
            f"the chat dialect takes {_MOST_STOPS} of them; the first were sent",
        )
    if request.top_k is not None:
        value["top_k"] = request.top_k
    if request.logit_bias is not UNSET:
        value["logit_bias"] = request.logit_bias
    if request.reasoning is not None:
        yield from _encode_reasoning(request, request.reasoning, value=value)
    if request.cache is not None:
        yield from encode_cache(request, request.cache, value=value, dialect="chat")
    tier = request.service_tier
    if tier is not None and tier not in _TIERS:
        del value["service_tier"]
        if tier == "standard_only":
            value["service_tier"] = "default"
        else:
            yield Loss(request.place("service_tier"), "speed", f"the chat dialect knows no tier '{tier}'")


def _encode_reasoning(request: Request, told: ReasoningSettings, *, value: Json) -> Iterator[Loss]:
    effort, losses = effort_told(request, told, "chat")
    yield from losses
    if effort is not None:
        value["reasoning_effort"] = effort
    if told.summary is not None:
        yield Loss(
            request.place("reasoning.summary"), "shown_thoughts", "the chat dialect cannot ask for a summary"
        )
    yield from lost_extras(told.extras, "chat", at=request.place("reasoning"))


def _encode_stream(request: Request, value: Json) -> None:
    value["stream"] = True
    options: Json = {}
    if request.stream_usage:
        options["include_usage"] = True
    if request.obfuscation is not None:
        options["include_obfuscation"] = request.obfuscation
    if options:
        value["stream_options"] = options


def _restore_extras(extras: Extras | None, value: Json) -> None:
    """Options of a stream go to a target that streams, whoever asked for it."""
    if extras is None or extras.dialect != "chat":
        return
    options = {name: raw for name, raw in extras.fields.items() if name.startswith(_OPTION)}
    if options:
        if "stream" in value:
            value.setdefault("stream_options", {})
            restore(Extras("chat", options), value, dialect="chat")
        extras = Extras("chat", {name: raw for name, raw in extras.fields.items() if name not in options})
    restore(extras, value, dialect="chat")
