"""What the scripted upstream says: a pure function of the request, so that a test computes it beforehand.

The last user message (markers taken out) decides the text, see `answer`:

    echo: X             X
    words: N            N words
    refuse: X           a refusal X
    think: X            reasoning_content X, then the usual words
    call F with {...}   a call of tool F with exactly these arguments, where F is among `tools`; several make parallel calls
    a tool's result     "The tool said: RESULT"
    anything else       5 to 12 words drawn from a hash of it

A token is a word with the white space before it (`tokens`); usage counts those (`usage`), max_tokens cuts between
them, and a stream sends one a delta, or as many as the step says. This module knows nothing of HTTP or of server-sent events' bytes.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from upstream_schema import instance
from upstream_script import Step, strip_markers

CREATED = 1_741_564_800
FINGERPRINT = "fp_scripted"
WORDS = re.findall(
    r"\w+",
    "amber brook cedar delta ember fjord grove haven inlet jetty kelp lagoon "
    "meadow north orchard pebble quartz river slate timber upland valley willow yarrow",
)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call; `kind` is function or custom."""

    id: str
    kind: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One alternative of an answer, before it takes its wire shape."""

    index: int
    finish: str
    text: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    calls: tuple[Call, ...] = ()


def digest(text: str) -> str:
    """64 hexadecimal characters that depend on the text alone."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def tokens(text: str) -> list[str]:
    """The text's words, each with the white space before it; joined they are the text again."""
    return re.findall(r"\s*\S+|\s+$", text)


def words(count: int, seed: str) -> str:
    """`count` words that depend on the seed alone."""
    return " ".join(WORDS[int(digest(f"{seed}/{place}")[:8], 16) % len(WORDS)] for place in range(count))


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message, its parts joined."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(part.get("text") or "" for part in parts if isinstance(part, dict))


def prompt_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """The last user message without its markers."""
    said = [text_of(message) for message in messages if message.get("role") == "user"]
    return strip_markers(said[-1]) if said else ""


def answer(messages: Sequence[Mapping[str, Any]], index: int = 0) -> str:
    """The text of the choice with this index, before stop and max_tokens cut it."""
    if messages and messages[-1].get("role") == "tool":
        return f"The tool said: {text_of(messages[-1])}"
    prompt = prompt_of(messages)
    form, colon, rest = prompt.partition(":")
    if colon and form == "echo":
        return rest.strip()
    if colon and form == "words" and rest.strip().isdigit():
        return words(int(rest), f"{prompt}#{index}")
    return words(5 + int(digest(prompt)[:2], 16) % 8, f"{prompt}#{index}")


def requested_calls(body: Json, index: int = 0) -> tuple[Call, ...]:
    """The tool calls that the prompt, `tools`, `tool_choice` and `parallel_tool_calls` ask for together."""
    tools = {tool[tool["type"]]["name"]: tool for tool in body.get("tools") or ()}
    wish = body.get("tool_choice") or "auto"
    if isinstance(wish, dict) and wish["type"] == "allowed_tools":
        allowed = [each[each["type"]]["name"] for each in wish["allowed_tools"]["tools"]]
        tools = {name: tool for name, tool in tools.items() if name in allowed}
        wish = wish["allowed_tools"]["mode"]
    messages = body["messages"]
    if not tools or wish == "none" or messages[-1].get("role") == "tool":
        return ()
    prompt = prompt_of(messages)
    found: list[tuple[str, str]] = []
    for match in re.finditer(r"call ([\w.-]+) with (?=\{)", prompt):
        _, end = json.JSONDecoder().raw_decode(prompt, match.end())
        found.append((match[1], prompt[match.end() : end]))
    found = [(name, arguments) for name, arguments in found if name in tools]
    if not found and wish != "auto":
        name = (
            wish[wish["type"]]["name"]
            if isinstance(wish, dict) and wish["type"] in wish
            else next(iter(tools))
        )
        schema = tools[name].get("function", {}).get("parameters") or {"type": "object"}
        found = [(name, json.dumps(instance(schema)))]
    if body.get("parallel_tool_calls") is False:
        found = found[:1]
    return tuple(
        Call("call_" + digest(f"{name}{arguments}{place}{index}")[:24], tools[name]["type"], name, arguments)
        for place, (name, arguments) in enumerate(found)
    )


def cut(text: str, body: Json) -> tuple[str, str]:
    """The text after stop strings and the token limit, and the finish reason that follows."""
    stops = body.get("stop") or []
    ends = [text.find(stop) for stop in ([stops] if isinstance(stops, str) else stops)]
    text = text[: min((end for end in ends if end >= 0), default=len(text))]
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    pieces = tokens(text)
    if limit and len(pieces) > limit:
        return "".join(pieces[:limit]), "length"
    return text, "stop"


def choose(body: Json, index: int, *, step: Step) -> Choice:
    """The choice with this index."""
    messages = body["messages"]
    form, _, rest = prompt_of(messages).partition(":")
    calls = requested_calls(body, index)
    if calls:
        return Choice(index, step.finish or "tool_calls", calls=calls)
    if form == "refuse":
        return Choice(index, step.finish or "stop", refusal=rest.strip())
    text = "x" * step.huge or answer(messages, index)
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        text = json.dumps(instance(wanted["json_schema"].get("schema") or {}))
    elif wanted.get("type") == "json_object":
        text = json.dumps({"answer": text})
    if step.separators:
        text += " \u2028 \u2029 \x85 end"
    text, finish = cut(text, body)
    return Choice(
        index, step.finish or finish, text=text, reasoning=rest.strip() if form == "think" else None
    )


def choices_of(body: Json, *, step: Step) -> list[Choice]:
    """All `n` choices of a chat request."""
    return [choose(body, index, step=step) for index in range(body.get("n") or 1)]


def token_logprobs(pieces: Sequence[str], body: Json) -> Json | None:
    """The `logprobs` object for these tokens, None unless asked for."""
    if not body.get("logprobs"):
        return None
    content = []
    for piece in pieces:
        ranked = [piece] + [f" {WORDS[rank]}" for rank in range(max(0, (body.get("top_logprobs") or 0) - 1))]
        entries = [
            {"token": token, "logprob": -0.125 - 0.5 * rank, "bytes": list(token.encode())}
            for rank, token in enumerate(ranked)
        ]
        content.append({**entries[0], "top_logprobs": entries if body.get("top_logprobs") else []})
    return {"content": content, "refusal": None}


def tool_call(call: Call) -> Json:
    """A tool call's wire shape."""
    inner = "input" if call.kind == "custom" else "arguments"
    return {"id": call.id, "type": call.kind, call.kind: {"name": call.name, inner: call.arguments}}


def message_of(choice: Choice) -> Json:
    """The assistant message of a choice."""
    message: Json = {
        "role": "assistant",
        "content": choice.text,
        "refusal": choice.refusal,
        "annotations": [],
    }
    if choice.reasoning is not None:
        message["reasoning_content"] = choice.reasoning
    if choice.calls:
        message["tool_calls"] = [tool_call(call) for call in choice.calls]
    return message


def pieces_of(text: str | None, batch: int) -> list[str]:
    """The text in deltas of so many tokens."""
    row = tokens(text or "")
    return ["".join(row[at : at + batch]) for at in range(0, len(row), batch)]


def deltas(choice: Choice, body: Json, *, batch: int = 1) -> Iterator[tuple[Json, Json | None]]:
    """The deltas of a choice with their logprobs, from the role to the last token."""
    yield {"role": "assistant", "content": None if choice.calls else "", "refusal": None}, None
    for piece in pieces_of(choice.reasoning, batch):
        yield {"reasoning_content": piece}, None
    for piece in pieces_of(choice.refusal, batch):
        yield {"refusal": piece}, None
    for piece in pieces_of(choice.text, batch):
        yield {"content": piece}, token_logprobs(tokens(piece), body)
    for place, call in enumerate(choice.calls):
        inner = "input" if call.kind == "custom" else "arguments"
        yield (
            {"tool_calls": [{"index": place, **tool_call(call), call.kind: {"name": call.name, inner: ""}}]},
            None,
        )
        for piece in pieces_of(call.arguments, batch):
            yield {"tool_calls": [{"index": place, call.kind: {inner: piece}}]}, None


def prompt_tokens(body: Json) -> int:
    """Three for each message and one for each word of its text, markers taken out."""
    return sum(3 + len(tokens(strip_markers(text_of(message)))) for message in body["messages"])


def completion_tokens(choice: Choice) -> int:
    """One for each word of text, refusal, reasoning and arguments."""
    spoken = [choice.text, choice.refusal, choice.reasoning, *(call.arguments for call in choice.calls)]
    return sum(len(tokens(text or "")) for text in spoken)


def usage(body: Json, choices: Sequence[Choice], *, step: Step | None = None) -> Json:
    """The usage object, or the odd one that the step asks for."""
    step = step or Step()
    prompt = prompt_tokens(body)
    completion = sum(completion_tokens(choice) for choice in choices)
    reasoning = sum(len(tokens(choice.reasoning or "")) for choice in choices)
    if step.usage == "wrong":
        return {"prompt_tokens": prompt, "completion_tokens": completion + 1_000_000, "total_tokens": 3}
    if step.usage == "negative":
        return {
            "prompt_tokens": -prompt,
            "completion_tokens": -completion,
            "total_tokens": -prompt - completion,
        }
    if step.usage == "zero":
        return {"prompt_tokens": prompt, "completion_tokens": 0, "total_tokens": prompt}
    if step.usage == "text":
        return {"prompt_tokens": str(prompt), "completion_tokens": "many", "total_tokens": None}
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": step.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
    }


def envelope(body: Json, kind: str) -> Json:
    """The top-level keys that every answer and chunk shares; the id depends on the request alone."""
    prefix = "chatcmpl" if kind.startswith("chat") else "cmpl"
    seed = json.dumps([body.get("messages"), body.get("prompt"), body.get("model")])
    return {
        "id": f"{prefix}-{digest(seed)[:24]}",
        "object": kind,
        "created": CREATED,
        "model": body.get("model"),
    }


TAIL: Json = {"service_tier": "default", "system_fingerprint": FINGERPRINT}


def chat(body: Json, *, step: Step | None = None) -> Json:
    """The whole `chat.completion` for a request."""
    step = step or Step()
    choices = choices_of(body, step=step)
    shown = [
        {
            "index": choice.index,
            "message": message_of(choice),
            "logprobs": token_logprobs(tokens(choice.text or ""), body),
            "finish_reason": choice.finish,
        }
        for choice in choices
    ]
    result = {**envelope(body, "chat.completion"), "choices": shown}
    if step.usage != "missing":
        result["usage"] = None if step.usage == "null" else usage(body, choices, step=step)
    return {**result, **TAIL}


def chat_chunks(body: Json, *, step: Step | None = None) -> list[Json]:
    """The `chat.completion.chunk` objects of a streamed answer in OpenAI's order; choices take turns.

    With include_usage, earlier chunks carry `usage: null` and a last one, without choices, the figures.
    """
    step = step or Step()
    choices = choices_of(body, step=step)
    options = body.get("stream_options") or {}
    counted = bool(options.get("include_usage")) and step.usage != "missing"
    full = usage(body, choices, step=step)
    base = {**envelope(body, "chat.completion.chunk"), **TAIL}
    if options.get("include_obfuscation"):
        base["obfuscation"] = "x" * 8

    def chunk(index: int, delta: Json, logprobs: Json | None, finish: str | None = None) -> Json:
        shown = [{"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}]
        return {**base, "choices": shown, **({"usage": None} if counted else {})}

    columns = [
        [chunk(choice.index, *part) for part in deltas(choice, body, batch=step.batch)] for choice in choices
    ]
    chunks = [part for row in zip_longest(*columns) for part in row if part is not None]
    chunks += [chunk(choice.index, {}, None, choice.finish) for choice in choices]
    if step.usage == "running":
        return [{**part, "usage": full} for part in chunks]
    if step.usage == "counting":
        return _counting(chunks, full)
    if step.usage == "early":
        return [{**chunks[0], "usage": _so_far(full, 0)}, *chunks[1:]]
    if step.usage == "with-finish":
        return [*chunks[:-1], {**chunks[-1], "usage": full}]
    if counted:
        last = {**base, "choices": [], "usage": None if step.usage == "null" else full}
        chunks += [last] * (2 if step.usage == "twice" else 1)
    return chunks


def _counting(chunks: Sequence[Json], full: Json) -> list[Json]:
    """The chunks, each with the tokens of all choices up to there."""
    counted = 0
    told = []
    for chunk in chunks:
        for choice in chunk["choices"]:
            delta = choice["delta"]
            inner = [call.get("function") or call["custom"] for call in delta.get("tool_calls") or ()]
            said = [delta.get(name) for name in ("content", "refusal", "reasoning_content")]
            said += [words.get("arguments") or words.get("input") for words in inner]
            counted += sum(len(tokens(text or "")) for text in said)
        told.append({**chunk, "usage": _so_far(full, counted)})
    return told


def _so_far(full: Json, completion: int) -> Json:
    prompt = full["prompt_tokens"]
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
