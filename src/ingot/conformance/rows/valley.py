"""MeTal: OpenAI's chat completions, whole. Rows S0-01 to S0-16."""

from typing import Final

from ingot.conformance.examples import CALLS, REFERENCE, says
from ingot.conformance.record import Row, row
from ingot.conformance.subject import GONE, NO_KEY, Subject
from ingot.conformance.trying import (
    both,
    choice_of,
    deltas_of,
    equal,
    expect,
    message_of,
    ok,
    refused,
    stream,
    streams,
    takes,
)
from ingot.conformance.wire import Answer

VALLEY: Final = "valley"
MODELS: Final = ("valley-fast-1", "valley-pro-1")

PYTHON: Final = {
    "user-agent": "OpenAI/Python 3.52.0",
    "x-stainless-lang": "python",
    "x-stainless-package-version": "3.52.0",
    "x-stainless-runtime": "CPython",
    "x-stainless-async": "false",
    "x-stainless-retry-count": "0",
    "x-stainless-read-timeout": "600",
}
NODE: Final = {
    "user-agent": "OpenAI/JS 6.40.0",
    "x-stainless-lang": "js",
    "x-stainless-runtime": "node",
    "x-stainless-retry-count": "0",
    "x-stainless-timeout": "600",
}

TOP: Final = frozenset(
    [
        "id",
        "object",
        "created",
        "model",
        "choices",
        "usage",
        "service_tier",
        "system_fingerprint",
        "metadata",
        "moderation",
    ]
)
CHOICE: Final = frozenset(["index", "message", "logprobs", "finish_reason"])
MESSAGE: Final = frozenset(
    ["role", "content", "refusal", "annotations", "audio", "tool_calls", "function_call"]
)
CHUNK: Final = TOP | {"obfuscation"}
CHUNK_CHOICE: Final = frozenset(["index", "delta", "logprobs", "finish_reason"])
DELTA: Final = frozenset(["role", "content", "refusal", "audio", "tool_calls", "function_call"])


async def python_sdk(subject: Subject) -> None:
    """A call with the headers of OpenAI's Python client."""
    _content(await subject.ask(headers=PYTHON))


async def node_sdk(subject: Subject) -> None:
    """A call with the headers of OpenAI's client for Node."""
    _content(await subject.ask(headers=NODE))


def _content(answer: Answer) -> None:
    content = message_of(ok(answer)).get("content")
    expect(isinstance(content, str), "choices[0].message.content as text", content)


async def plain_http(subject: Subject) -> None:
    """Nothing but JSON and a bearer token."""
    answer = await subject.ask()
    ok(answer)
    equal("content-type", "application/json", answer.content_type)


async def key_on_every_request(subject: Subject) -> None:
    """Also where only something is read."""
    for answer in (await subject.ask(key=NO_KEY), await subject.call("GET", "/models", key=NO_KEY)):
        error = refused(answer, "no key", status=401)
        expect(error.get("type"), "an error with a type", answer)


async def invalid_key(subject: Subject) -> None:
    """Three exact values."""
    for key in ("metal_sk_live_0123456789abcdef", "sk-nobody"):
        answer = await subject.ask(key=key)
        error = refused(answer, "an invalid key", status=401)
        told = {name: error.get(name) for name in ("message", "type", "code")}
        wanted = {"message": "Invalid API key.", "type": "invalid_request_error", "code": "invalid_api_key"}
        equal("error", wanted, told)


async def fast_model(subject: Subject) -> None:
    """There, and it refuses what is longer than its context."""
    ok(await subject.ask({"model": MODELS[0]}), MODELS[0])
    answer = await subject.ask({"model": MODELS[0], "messages": says("word " * 40_000)})
    refused(answer, "a prompt of 40,000 words")


async def pro_model(subject: Subject) -> None:
    """There, and it takes long prompts."""
    ok(await subject.ask({"model": MODELS[1]}), MODELS[1])
    ok(
        await subject.ask({"model": MODELS[1], "messages": says("word " * 100_000)}),
        "a prompt of 100,000 words",
    )


async def stable_ids(subject: Subject) -> None:
    """An answer names the model that was asked for."""
    for model in MODELS:
        equal("model", model, ok(await subject.ask({"model": model})).get("model"))


async def honoured(subject: Subject) -> None:
    """Two of the parameters can be seen in the answer."""
    cut = ok(await subject.ask({"messages": says("words: 50"), "max_tokens": 3}))
    counted = (cut.get("usage") or {}).get("completion_tokens")
    expect(
        isinstance(counted, int) and counted <= 3, "at most 3 completion tokens with max_tokens = 3", counted
    )
    equal("finish_reason", "length", choice_of(cut).get("finish_reason"))
    told = choice_of(ok(await subject.ask({"logprobs": True}))).get("logprobs")
    expect(isinstance(told, dict) and told.get("content"), "logprobs of the content", told)


async def odd_chunks(subject: Subject) -> None:
    """Every chunk can be walked through as clients do, also where it has no choice or no text."""
    fields = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = stream(await subject.ask(fields))
    broken = [chunk for chunk in chunks if not isinstance(chunk.get("choices"), list)]
    expect(not broken, "choices in each chunk, if only an empty list", broken[:1])
    strange = [delta for delta in deltas_of(chunks) if not isinstance(delta.get("content", ""), str | None)]
    expect(not strange, "delta.content as text, null or absent", strange[:1])


async def tools(subject: Subject) -> None:
    """Both models call them."""
    for model in MODELS:
        answer = ok(await subject.ask({"model": model, **CALLS}), f"tools on {model}")
        calls = message_of(answer).get("tool_calls")
        expect(isinstance(calls, list) and calls, f"tool_calls of {model}", calls)


async def errors(subject: Subject) -> None:
    """Whatever goes wrong has a type and a message."""
    tries = (
        ("no key", 401, await subject.ask(key=NO_KEY)),
        ("an unknown model", 404, await subject.ask({"model": "no-such-model"})),
        ("no model", 400, await subject.ask({"model": GONE})),
        ("no messages", 400, await subject.ask({"messages": GONE})),
        ("an unknown path", 404, await subject.call("GET", "/nowhere")),
        ("no JSON", 400, await subject.call("POST", "/chat/completions", b"{")),
    )
    for what, status, answer in tries:
        error = refused(answer, what, status=status)
        expect(error.get("type"), f"an error with a type for {what}", answer)


async def nothing_foreign(subject: Subject) -> None:
    """Whole and streamed."""
    fields = {"messages": says("think: one step at a time")}
    answer = ok(await subject.ask(fields))
    found = {*answer} - TOP | {*choice_of(answer)} - CHOICE | {*message_of(answer)} - MESSAGE
    expect(not found, "no foreign keys", sorted(found))
    for chunk in stream(await subject.ask({**fields, "stream": True})):
        deltas = {name for delta in deltas_of([chunk]) for name in delta}
        found = {*chunk} - CHUNK | {*choice_of(chunk)} - CHUNK_CHOICE | deltas - DELTA
        expect(not found, "no foreign keys in chunks", sorted(found))


async def key_prefix(subject: Subject) -> None:
    """As the server issues it."""
    await begins(subject, "metal_sk_")


async def begins(subject: Subject, prefix: str) -> None:
    """Whether a key that the server issued begins so: a fresh one where one can be made, else the tester's own."""
    made = subject.means.make_key
    key = (None if made is None else await made()) or subject.key
    expect(key.startswith(prefix), f"a key that begins with {prefix}", f"{key[: len(prefix)]}...")


ROWS: Final[tuple[Row, ...]] = (
    row("S0-01", VALLEY, "OpenAI's Python client works with another base URL, key and model alone.", python_sdk),
    row("S0-02", VALLEY, "So does OpenAI's client for Node.", node_sdk),
    row("S0-03", VALLEY, "Plain HTTP with JSON and a bearer token is enough.", plain_http),
    row("S0-04", VALLEY, "Every request needs a bearer token; without one it meets a 401 in OpenAI's format.", key_on_every_request),
    row("S0-05", VALLEY, "The error for an invalid key has one exact message, type and code.", invalid_key),
    row("S0-06", VALLEY, "Keys begin with metal_sk_.", key_prefix),
    row("S0-07", VALLEY, "valley-fast-1 is there and refuses prompts beyond 32K tokens.", fast_model),
    row("S0-08", VALLEY, "valley-pro-1 is there and takes a prompt of 100K tokens.", pro_model),
    row("S0-09", VALLEY, "An answer names the model as it was asked for.", stable_ids),
    row(
        "S0-10",
        VALLEY,
        "temperature, top_p, max_tokens, stop and logprobs are accepted and honoured.",
        both(takes(*(REFERENCE[name] for name in ("temperature", "top_p", "max_tokens", "stop", "logprobs"))), honoured),
    ),
    row("S0-11", VALLEY, "Every parameter of OpenAI's chat reference is supported.", takes(*REFERENCE.values())),
    row("S0-12", VALLEY, "stream: true makes server-sent events that end with [DONE].", streams()),
    row("S0-13", VALLEY, "Chunks without choices or text do not break a client that walks through them.", odd_chunks),
    row("S0-14", VALLEY, "Both models call tools, and the calls come back in tool_calls.", tools),
    row("S0-15", VALLEY, "Every error has OpenAI's status, a type and a message.", errors),
    row("S0-16", VALLEY, "Answers have no keys but OpenAI's, also where the model thinks aloud.", nothing_foreign),
)  # fmt: skip
