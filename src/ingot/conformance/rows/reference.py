"""Valar's chat reference. Rows S3-01 to S3-27."""

from typing import Final
from urllib.parse import quote

from ingot.conformance.examples import EFFORTS, FORMATS, says
from ingot.conformance.record import Failed, Row, row
from ingot.conformance.subject import GONE, Delivery, Subject
from ingot.conformance.trying import (
    at,
    equal,
    equals,
    expect,
    message_of,
    need,
    ok,
    refused,
    refuses,
    shows,
    stream,
    streams,
    takes,
    unauthorized,
    values,
)
from ingot.conformance.wire import Answer, Json
from ingot.ids import random_text

VALAR: Final = "valar"
WINDOW: Final = {"metadata": {"completion_window": "asap"}}


def fresh() -> dict[str, str]:
    """The header with a value that nobody has used."""
    return {"idempotency-key": f"probe-{random_text(16)}"}


async def longest_key(subject: Subject) -> None:
    """255 characters are taken, 256 are not."""
    value = random_text(255)
    ok(await subject.ask(headers={"idempotency-key": value}), "a key of 255 characters")
    answer = await subject.ask(headers={"idempotency-key": f"{value}x"})
    refused(answer, "a key of 256 characters")


async def stored_answer(subject: Subject) -> None:
    """The same bytes, and one call of the backend where that can be seen."""
    words, headers = subject.phrase(), fresh()
    first, again = [await subject.ask({"messages": says(words)}, headers=headers) for _ in range(2)]
    equal("id", ok(first).get("id"), ok(again).get("id"))
    expect(first.body == again.body, "the stored answer", again)
    if subject.means.received is not None:
        equal("calls of the backend", 1, len(subject.means.received(words)))


async def independent(subject: Subject) -> None:
    """Another account's request with the same value is its own."""
    other = need(subject.means.other_key, "a key of another account (--other-key)")
    words, headers = subject.phrase(), fresh()
    fields = {"messages": says(words)}
    first = await subject.ask(fields, headers=headers)
    second = await subject.ask(fields, headers=headers, key=other)
    ok(first)
    ok(second)
    expect(
        "idempotent-replayed" not in second.headers,
        "an answer of its own",
        second.headers.get("idempotent-replayed"),
    )
    if subject.means.received is not None:
        equal("calls of the backend", 2, len(subject.means.received(words)))


async def webhook(subject: Subject) -> None:
    """A POST with the token that the request named."""
    delivery = await delivered(subject)
    equal("authorization", "Bearer probe-token", delivery.headers.get("authorization"))


async def delivered(subject: Subject, surface: str = "chat") -> Delivery:
    """What a webhook brings after a request of this surface."""
    sink = need(subject.means.sink, "a place for webhooks that the server can reach")
    told = {"completion_webhook": sink.url, "webhook_token": "probe-token"}
    ok(await subject.ask({"metadata": told}, surface=surface))
    delivery: Delivery | None = await sink.next()
    if delivery is None:
        raise Failed("a POST to completion_webhook", "none")
    return delivery


def keys(answer: Json) -> object:
    """The required keys that are missing."""
    missing = [name for name in ("id", "object", "created", "model", "choices") if name not in answer]
    if missing:
        return f"without {', '.join(missing)}"
    right = (
        answer["object"] == "chat.completion" and isinstance(answer["choices"], list) and answer["choices"]
    )
    return None if right else {"object": answer["object"], "choices": answer["choices"]}


def message_keys(answer: Json) -> object:
    """The fields of the message that are missing."""
    missing = [name for name in ("content", "reasoning_content", "refusal") if name not in message_of(answer)]
    return f"without {', '.join(missing)}" if missing else None


def usage(answer: Json) -> object:
    """What is wrong with the counts; they may be absent."""
    told = answer.get("usage")
    if told is None:
        return None
    counts = [told.get(f"{name}_tokens") for name in ("prompt", "completion", "total")]
    details = [told.get(f"{name}_tokens_details") for name in ("prompt", "completion")]
    right = all(isinstance(each, int) for each in counts) and all(isinstance(each, dict) for each in details)
    return None if right else told


async def one_object(subject: Subject) -> None:
    """Unasked, an answer is whole."""
    answer = await subject.ask()
    ok(answer)
    equal("content-type", "application/json", answer.content_type)


async def slashes(subject: Subject) -> None:
    """In a body and, encoded, in a path."""
    listed = ok(await subject.call("GET", "/models")).get("data", [])
    names = [model["id"] for model in listed if "/" in str(model.get("id"))]
    name = need(names[0] if names else None, "a model with a slash in its id")
    equal("model", name, ok(await subject.ask({"model": name}), name).get("model"))
    found = await subject.call("GET", f"/models/{quote(name, safe='')}")
    equal("id", name, ok(found, f"GET /models/{quote(name, safe='')}").get("id"))


async def options_ignored(subject: Subject) -> None:
    """With a stream they count, without one they are no error."""
    options = {"stream_options": {"include_usage": True}}
    plain: Answer = await subject.ask({**options})
    ok(plain, "stream_options without a stream")
    chunks = stream(await subject.ask({"stream": True, **options}))
    expect(at(chunks[-1], "usage.total_tokens") != "not there", "usage in the last chunk", chunks[-1])


ROWS: Final[tuple[Row, ...]] = (
    row("S3-01", VALAR, "A bearer token is required; without it the answer is a 401.", unauthorized()),
    row("S3-02", VALAR, "An Idempotency-Key has at most 255 characters.", longest_key),
    row("S3-03", VALAR, "The same value again returns the stored answer, without another inference.", stored_answer),
    row("S3-04", VALAR, "The same value under another key or organization is independent.", independent),
    row("S3-05", VALAR, "model is a required string.", refuses({"model": GONE}, {"model": 5})),
    row("S3-06", VALAR, "messages has at least one message.", refuses({"messages": GONE}, {"messages": []})),
    row("S3-07", VALAR, "temperature goes from 0 to 2, or is null.", values("temperature", [None, 0, 2], [-0.1, 2.1])),
    row("S3-08", VALAR, "top_p goes from 0 to 1, or is null.", values("top_p", [None, 0, 1], [-0.1, 1.1])),
    row("S3-09", VALAR, "max_completion_tokens is at least 1, or null.", values("max_completion_tokens", [None, 1], [0])),
    row("S3-10", VALAR, "response_format is an object.", values("response_format", FORMATS[:1], ["text"])),
    row("S3-11", VALAR, "reasoning_effort is one of six words, or null.", values("reasoning_effort", [None, *EFFORTS], ["max"])),
    row("S3-12", VALAR, "n is 1.", values("n", [1], [2])),
    row("S3-13", VALAR, "modalities is text alone.", values("modalities", [["text"]], [[], ["audio"], ["text", "audio"]])),
    row("S3-14", VALAR, "stream: true makes chat.completion.chunk events.", streams()),
    row("S3-15", VALAR, "A stream's last line is data: [DONE].", streams()),
    row("S3-16", VALAR, "stream_options count for streams alone, and are ignored elsewhere.", options_ignored),
    row("S3-17", VALAR, "store is true.", values("store", [True], [False])),
    row("S3-18", VALAR, "user has at most 256 characters.", values("user", ["u" * 256], ["u" * 257])),
    row("S3-19", VALAR, "metadata has text values.", values("metadata", [{"team": "blue"}], [{"team": 1}])),
    row("S3-20", VALAR, "metadata.completion_window is accepted.", takes(WINDOW)),
    row("S3-21", VALAR, "metadata.completion_webhook is called when the request is done, with webhook_token.", webhook),
    row("S3-22", VALAR, "An answer has id, object, created, model and choices.", shows("the required keys", keys)),
    row("S3-23", VALAR, "A message has content, reasoning_content and refusal.", shows("three fields in the message", message_keys)),
    row("S3-24", VALAR, "logprobs of a choice are null.", equals("choices.0.logprobs", None)),
    row("S3-25", VALAR, "usage has three counts and two objects with details.", shows("counts and details", usage)),
    row("S3-26", VALAR, "Unasked, an answer is one JSON object.", one_object),
    row("S3-27", VALAR, "Ids of models may have a slash, in bodies and in paths.", slashes),
)  # fmt: skip
