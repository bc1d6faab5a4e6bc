"""A whole request of a client, decoded.

Decides which of its fields is which canonical setting. Fields without a place in the canonical form stay raw, and go
back to this dialect alone. A value that asks for the dialect's default is left out.
"""

from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw

from ingot.canonical import CacheSettings, Losses, ReasoningSettings, Request
from ingot.dialects.codecs.leftovers import extras_of, unknown
from ingot.dialects.codecs.responses import checks
from ingot.dialects.codecs.responses.items import decode_input
from ingot.dialects.codecs.responses.tools import decode_choice, decode_format, decode_tools
from ingot.rawjson import Body

Json = dict[str, Any]

# The same name and the same values on both sides.
SAME: Final = (
    "max_output_tokens",
    "parallel_tool_calls",
    "temperature",
    "top_p",
    "metadata",
    "user",
    "safety_identifier",
    "service_tier",
    "store",
)
_OTHER: Final = frozenset(
    {
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "text",
        "reasoning",
        "include",
        "top_logprobs",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "stream",
        "stream_options",
    }
)
_KNOWN: Final = frozenset({*SAME, *_OTHER})
PLACES: Final = {
    "turns": "input",
    "output_format": "text.format",
    "verbosity": "text.verbosity",
    "logprobs": "include",
    "cache.key": "prompt_cache_key",
    "cache.retention": "prompt_cache_retention",
    "cache.options": "prompt_cache_options",
    "obfuscation": "stream_options.include_obfuscation",
}
LOGPROBS: Final = "message.output_text.logprobs"
_DEFAULTS: Final[dict[str, Any]] = {"truncation": "disabled", "background": False}

_encode = msgspec.json.Encoder().encode


def decode_request(body: Body) -> tuple[Request, Losses]:
    """The request of a body; raises InvalidRequest where it is none."""
    value, raw = body.value, body.raw
    checks.check_top(value)
    settings: Json = {name: value[name] for name in SAME if value.get(name) is not None}
    rest = {name: raw[name] for name in value if name not in _KNOWN and not _asks_nothing(name, value[name])}
    text = value.get("text") or {}
    form, unread = decode_format(text, raw["text"]) if text else (None, {})
    rest.update(unread)
    logprobs, top = _decode_logprobs(value, rest)
    options = value.get("stream_options") or {}
    rest.update(unknown(options, ("include_obfuscation",), inside="stream_options"))
    request = Request(
        origin="responses",
        model=value["model"],
        turns=decode_input(value),
        tools=decode_tools(value["tools"], raw["tools"]) if value.get("tools") else (),
        tool_choice=decode_choice(value.get("tool_choice")),
        output_format=form,
        verbosity=text.get("verbosity"),
        reasoning=_decode_reasoning(value),
        logprobs=logprobs,
        top_logprobs=top,
        cache=_decode_cache(value, raw),
        stream=value.get("stream") is True,
        obfuscation=options.get("include_obfuscation"),
        extras=extras_of(rest, "responses"),
        places=PLACES,
        **settings,
    )
    return request, ()


def _asks_nothing(name: str, held: Any) -> bool:
    return held is None or (name in _DEFAULTS and held == _DEFAULTS[name])


def _decode_logprobs(value: Json, rest: dict[str, Raw]) -> tuple[bool | None, int | None]:
    """Whether log probabilities are asked for, and how many; `include` is the switch, its other wishes are kept."""
    include = value.get("include") or []
    top = value.get("top_logprobs")
    others = [wish for wish in include if wish != LOGPROBS]
    if others:
        rest["include"] = Raw(_encode(others))
    return (True if len(others) < len(include) else None), top


def _decode_reasoning(value: Json) -> ReasoningSettings | None:
    told = value.get("reasoning")
    if not told:
        return None
    effort, summary = told.get("effort"), told.get("summary")
    extras = extras_of(dict(unknown(told, ("effort", "summary"))), "responses")
    if effort is None and summary is None and extras is None:
        return None
    return ReasoningSettings(effort=effort, summary=summary, extras=extras)


def _decode_cache(value: Json, raw: dict[str, Raw]) -> CacheSettings | None:
    key, retention = value.get("prompt_cache_key"), value.get("prompt_cache_retention")
    options = raw["prompt_cache_options"] if value.get("prompt_cache_options") else UNSET
    if key is None and retention is None and options is UNSET:
        return None
    return CacheSettings(key=key, retention=retention, options=options)
