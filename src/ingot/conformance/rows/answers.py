"""What OpenAI's clients read of an answer, whole or streamed. Rows A-01 to A-15; contract §2."""

from typing import Final

from ingot.conformance.examples import CALLS, FORMATS, SCHEMA, says
from ingot.conformance.record import Row, row
from ingot.conformance.rows.aurora import total
from ingot.conformance.subject import Subject
from ingot.conformance.trying import choice_of, deltas_of, equal, expect, message_of, ok, shows, stream
from ingot.conformance.wire import Answer, Json

OPEN: Final = "open"
STREAMING: Final = ("open", "valley", "aurora-v2", "metask", "valar")
KEYS: Final = ("id", "object", "created", "model", "choices")
REASONS: Final = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
WITH_USAGE: Final[Json] = {"stream": True, "stream_options": {"include_usage": True}}


def shape(answer: Json) -> object:
    """The keys that are missing."""
    missing = [name for name in KEYS if name not in answer]
    choice = choice_of(answer)
    missing += [f"choices[0].{name}" for name in ("index", "message", "finish_reason") if name not in choice]
    missing += [f"message.{name}" for name in ("role", "content") if name not in message_of(answer)]
    if missing:
        return f"without {', '.join(missing)}"
    return None if choice["finish_reason"] in REASONS else choice["finish_reason"]


async def several(subject: Subject) -> None:
    """With indexes from 0."""
    answer = ok(await subject.ask({"n": 2}))
    equal("indexes", [0, 1], [choice.get("index") for choice in answer.get("choices", [])])


async def cut(subject: Subject) -> None:
    """At the bound, under both its names."""
    for name in ("max_tokens", "max_completion_tokens"):
        answer = ok(await subject.ask({name: 3, "messages": says("words: 50")}))
        equal("finish_reason", "length", choice_of(answer).get("finish_reason"))
        counted = (answer.get("usage") or {}).get("completion_tokens")
        expect(isinstance(counted, int) and counted <= 3, f"at most 3 tokens with {name} = 3", counted)


async def logprobs(subject: Subject) -> None:
    """One item a token, with as many alternatives as were asked for at most."""
    answer = ok(await subject.ask({"logprobs": True, "top_logprobs": 2}))
    items = (choice_of(answer).get("logprobs") or {}).get("content") or []
    expect(items, "logprobs of the content", choice_of(answer).get("logprobs"))
    for item in items:
        right = all(name in item for name in ("token", "logprob", "bytes", "top_logprobs"))
        expect(right and len(item["top_logprobs"]) <= 2, "token, logprob, bytes and top_logprobs", item)


async def call(subject: Subject) -> None:
    """With an id, a name and arguments in JSON."""
    answer = ok(await subject.ask(CALLS))
    equal("finish_reason", "tool_calls", choice_of(answer).get("finish_reason"))
    calls = message_of(answer).get("tool_calls") or []
    expect(
        calls and calls[0].get("id") and calls[0].get("type") == "function", "a call with id and type", calls
    )
    arguments = Answer(200, body=str(calls[0]["function"].get("arguments")).encode()).value
    expect(
        set(SCHEMA["required"]) <= set(arguments), "arguments as the schema has them", calls[0]["function"]
    )


async def conversation(subject: Subject) -> None:
    """The call and its result, sent back; arguments that were cut short are made whole, for no service has to take them."""
    first = message_of(ok(await subject.ask(CALLS)))
    calls = first.get("tool_calls") or []
    for each in calls:
        function = each.get("function") or {}
        if not Answer(200, body=str(function.get("arguments")).encode()).value:
            function["arguments"] = '{"city":"Paris"}'
    results = [{"role": "tool", "tool_call_id": each["id"], "content": "Rain."} for each in calls]
    answer = ok(
        await subject.ask({"messages": [*says("Look up Paris."), first, *results], "tools": CALLS["tools"]})
    )
    expect(message_of(answer).get("content"), "an answer to the result", message_of(answer))


async def schema(subject: Subject) -> None:
    """An object that the schema describes."""
    answer = ok(await subject.ask({"response_format": FORMATS[-1]}))
    found = Answer(200, body=str(message_of(answer).get("content")).encode()).value
    expect(
        set(SCHEMA["required"]) <= set(found),
        "an object as the schema has it",
        message_of(answer).get("content"),
    )


async def one_answer(subject: Subject) -> None:
    """All chunks are of one answer."""
    chunks = stream(await subject.ask({"stream": True}))
    for name in ("id", "created", "model", "object"):
        seen = {str(chunk.get(name)) for chunk in chunks}
        expect(len(seen) == 1, f"one {name} in all chunks", sorted(seen))
    equal("object", "chat.completion.chunk", chunks[0].get("object"))


async def role_first(subject: Subject) -> None:
    """And in the first chunk alone."""
    deltas = deltas_of(stream(await subject.ask({"stream": True})))
    equal("role of the first delta", "assistant", deltas[0].get("role"))


async def one_end(subject: Subject) -> None:
    """With nothing to say any more."""
    chunks = stream(await subject.ask({"stream": True}))
    ends = [choice_of(chunk) for chunk in chunks if choice_of(chunk).get("finish_reason")]
    equal("number of chunks with a finish_reason", 1, len(ends))
    texts = [delta["content"] for delta in deltas_of(chunks) if delta.get("content")]
    expect(
        not ends[0].get("delta", {}).get("content") or len(texts) == 1, "an empty delta at the end", ends[0]
    )


async def usage_last(subject: Subject) -> None:
    """Null before."""
    chunks = stream(await subject.ask(WITH_USAGE))
    equal("choices of the last chunk", [], chunks[-1].get("choices"))
    wrong = total(chunks[-1])
    expect(wrong is None, "usage that adds up in the last chunk", wrong)
    early = [chunk["usage"] for chunk in chunks[:-1] if chunk.get("usage")]
    expect(not early, "no usage before the last chunk", early[:1])


async def usage_unasked(subject: Subject) -> None:
    """None, and no chunk without a choice."""
    chunks = stream(await subject.ask({"stream": True}))
    told = [chunk for chunk in chunks if chunk.get("usage") or not chunk.get("choices")]
    expect(not told, "no usage unasked", told[:1])


async def streamed_call(subject: Subject) -> None:
    """Id, type and name come first; the arguments are whole when the stream is."""
    deltas = deltas_of(stream(await subject.ask({"stream": True, **CALLS})))
    pieces = [piece for delta in deltas for piece in delta.get("tool_calls") or ()]
    expect(pieces, "pieces of a tool call", deltas[-1:])
    first = pieces[0]
    right = first.get("id") and first.get("type") == "function" and (first.get("function") or {}).get("name")
    expect(right, "id, type and name in the first piece", first)
    same = [piece for piece in pieces if piece.get("index") == first.get("index")]
    text = "".join((piece.get("function") or {}).get("arguments") or "" for piece in same)
    arguments = Answer(200, body=text.encode()).value
    expect(set(SCHEMA["required"]) <= set(arguments), "arguments as the schema has them", text)


async def same_text(subject: Subject) -> None:
    """To one prompt, where the model is one that can be relied on."""
    words = subject.phrase()
    fields = {"messages": says(words), "temperature": 0, "seed": 7}
    whole = message_of(ok(await subject.ask(fields))).get("content")
    pieces = [
        delta.get("content") or ""
        for delta in deltas_of(stream(await subject.ask({**fields, "stream": True})))
    ]
    expect(whole and "".join(pieces), "texts", [whole, pieces])


ROWS: Final[tuple[Row, ...]] = (
    row("A-01", OPEN, "An answer has id, object, created, model and choices with index, message and finish_reason.", shows("the keys that clients read", shape)),
    row("A-02", ("open", "valley", "valar"), "Usage is there and adds up.", shows("usage that adds up", total)),
    row("A-03", ("open", "valley"), "n choices have indexes from 0.", several),
    row("A-04", ("open", "valley"), "A bound cuts the answer, which then says length.", cut),
    row("A-05", ("open", "valley"), "Logprobs have an item for each token.", logprobs),
    row("A-06", ("open", "valley", "aurora", "aurora-v2", "metask", "valar"), "A tool call has id, type, name, and arguments as the schema has them.", call),
    row("A-07", ("open", "valley", "aurora", "aurora-v2", "metask", "valar"), "The result of a tool can be sent back.", conversation),
    row("A-08", ("open", "valley", "metask", "valar"), "An answer follows its JSON schema.", schema),
    row("A-09", STREAMING, "All chunks of a stream have one id, created, model and object.", one_answer),
    row("A-10", STREAMING, "The first chunk has the role.", role_first),
    row("A-11", STREAMING, "One chunk has the finish_reason, and nothing else to say.", one_end),
    row("A-12", ("open", "valley", "metask", "valar"), "Asked for, usage comes in a last chunk without choices.", usage_last),
    row("A-13", STREAMING, "Unasked, no chunk has usage.", usage_unasked),
    row("A-14", STREAMING, "A streamed tool call begins with id, type and name.", streamed_call),
    row("A-15", ("open", "valley", "metask"), "A prompt is answered whole and streamed.", same_text),
)  # fmt: skip
