"""Rules that today's clients would trip over if they were kept to the letter. Rows R-01 to R-13."""

from typing import Final

from ingot.conformance.record import Row, row
from ingot.conformance.rows import aurora, chat, messages, metask, reference, responses
from ingot.conformance.rows.reference import VALAR
from ingot.conformance.subject import NO_KEY, Subject
from ingot.conformance.trying import both, equals, expect, need, ok, refused, shows, stream, takes
from ingot.conformance.wire import Json


async def bearer_alone(subject: Subject) -> None:
    """On chat as on messages."""
    ok(await subject.ask(), "a bearer token")
    refused(await subject.ask(key=NO_KEY, headers={"x-api-key": subject.key}), "x-api-key alone", status=401)


async def either_header(subject: Subject) -> None:
    """Older clients send nothing else."""
    ok(await subject.ask(key=NO_KEY, headers={"x-api-key": subject.key}), "x-api-key alone")


async def explicit_false(subject: Subject) -> None:
    """On each surface that is there."""
    for surface in chat.INFERENCE:
        if await subject.offers(surface):
            ok(await subject.ask({"stream": False}, surface=surface), f"stream = false on {surface}")


async def untouched_temperature(subject: Subject) -> None:
    """As the client sent it."""
    words = subject.phrase()
    fields = {"messages": [{"role": "user", "content": words}], "temperature": 0.25}
    ok(await subject.ask(fields, surface="messages"))
    if subject.means.received is not None:
        equal_at_backend = [body.get("temperature") for body in subject.means.received(words)]
        expect(equal_at_backend == [0.25], "temperature 0.25 at the backend", equal_at_backend)


async def two_shapes(subject: Subject) -> None:
    """An unknown file is a fault of that field, and no fault of the shape."""
    fields: Json = {
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "input_file_id": "file-none",
    }
    answer = await subject.call("POST", "/batches", fields)
    expect(answer.status in {400, 404}, "a refusal of an unknown file", answer)
    expect(
        "input_file_id" in str(answer.error) or "file-none" in str(answer.error),
        "the file in the error",
        answer,
    )
    await both(takes({}, surface="batches"))(subject)


async def tolerated_lists(subject: Subject) -> None:
    """As agents send them."""
    ok(await subject.ask({"include": [], "tools": []}, surface="responses"), "empty include and tools")


async def streamed_responses(subject: Subject) -> None:
    """Typed events, each with its number."""
    answer = await subject.ask({"stream": True}, surface="responses")
    expect(
        answer.status == 200 and answer.content_type == "text/event-stream", "a stream of responses", answer
    )
    kinds = [event.get("type") for event in answer.chunks]
    expect(kinds[:1] == ["response.created"], "response.created first", kinds[:3])
    expect(kinds[-1:] == ["response.completed"], "response.completed last", kinds[-3:])
    numbers = [event.get("sequence_number") for event in answer.chunks]
    expect(numbers == list(range(len(numbers))), "numbers from 0 upwards", numbers[:5])


async def continued(subject: Subject) -> None:
    """By the id of the answer before."""
    made = need(ok(await subject.ask(surface="responses")).get("id"), "a response with an id")
    ok(await subject.ask({"previous_response_id": made}, surface="responses"), "previous_response_id")


async def chat_stream_parses(subject: Subject) -> None:
    """Without the two optional keys every chunk has what strict readers ask for."""
    for chunk in stream(await subject.ask({"stream": True})):
        expect(
            all(name in chunk for name in ("id", "created", "model", "object", "choices")), "five keys", chunk
        )


ROWS: Final[tuple[Row, ...]] = (
    Row("R-01", "x-api-key alone is refused by Valar's preset only.", {VALAR: bearer_alone, "open": either_header}),
    row("R-02", VALAR, "stream: false is no stream and no error, on any surface.", explicit_false),
    row("R-03", VALAR, "On responses parallel_tool_calls is refused where it is sent, and not missed where it is not.", both(takes({}, surface="responses"), responses.rejects({"parallel_tool_calls": True})), needs=("responses",)),
    row("R-04", VALAR, "Empty lists of include and tools are no error.", tolerated_lists, needs=("responses",)),
    row("R-05", VALAR, "A message without counts of caches, with one block of text.", both(messages.no_cache_counts, messages.one_block), needs=("messages",)),
    row("R-06", VALAR, "Anthropic's client finds error.type and error.message.", messages.envelope, needs=("messages",)),
    row("R-07", VALAR, "temperature on messages reaches the model as it was sent.", untouched_temperature, needs=("messages",)),
    row("R-08", "open", "One route takes batches inline and batches from a file.", two_shapes, needs=("batches", "files")),
    row("R-09", VALAR, "202 is as good as any 2xx.", responses.background, needs=("responses",)),
    row("R-10", VALAR, "Without system_fingerprint and service_tier an answer is still whole.", both(shows("the required keys", reference.keys), chat_stream_parses)),
    row("R-11", ("aurora", "aurora-v2"), "created is sent, so that strict readers do not fail.", both(shows("unix seconds", metask.created), shows("the shape of the sample", aurora.shape))),
    row("R-12", VALAR, "logprobs are there, and null.", equals("choices.0.logprobs", None)),
    Row("R-13", "Agents that need streams of responses and previous_response_id find them in open, and not in Valar's preset.", {
        VALAR: both(responses.rejects({"stream": True}), responses.not_continued), "open": both(streamed_responses, continued),
    }, ("responses",)),
)  # fmt: skip
