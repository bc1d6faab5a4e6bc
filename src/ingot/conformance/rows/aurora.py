"""MeTal Aurora: one model, two routes, a system field. Rows S1-01 to S1-22."""

from typing import Final

from ingot.conformance.examples import LONG, says
from ingot.conformance.record import AURORA, Row, Skipped, row
from ingot.conformance.rows.valley import begins, python_sdk
from ingot.conformance.subject import GONE, NO_KEY, PROMPT, Subject
from ingot.conformance.trying import (
    Look,
    at,
    both,
    choice_of,
    equal,
    expect,
    need,
    ok,
    refused,
    refuses,
    shows,
    streams,
    takes,
    unauthorized,
    values,
)
from ingot.conformance.wire import Answer, Json

KEYS: Final = 3
FREE_RPM: Final = 5
MOST_TOKENS: Final = 1024


async def key_prefix(subject: Subject) -> None:
    """As the server issues it."""
    await begins(subject, "mk_")


async def most_keys(subject: Subject) -> None:
    """The account has one key at least, so that the third that is made here is too many at the latest."""
    make = need(subject.means.make_key, "a way to make keys")
    made = [await make() for _ in range(KEYS)]
    expect(made[-1] is None, f"at most {KEYS} keys of one account", f"{len(made)} more were made")


async def burst(subject: Subject) -> list[Answer]:
    """What a free account gets for more requests than a minute has."""
    need(subject.means.free_key, "the key of a free account that has been silent for a minute (--free-key)")
    return await subject.burst()


async def free_limit(subject: Subject) -> None:
    """Five pass, the sixth does not."""
    statuses = [answer.status for answer in await burst(subject)]
    equal("statuses of seven requests", [200] * FREE_RPM + [429] * (len(statuses) - FREE_RPM), statuses)


async def limit_code(subject: Subject) -> None:
    """What the sixth is told."""
    error = refused((await burst(subject))[-1], "a request above the limit", status=429)
    equal("error.code", "rate_limited", error.get("code"))


async def failure(subject: Subject) -> None:
    """Where the backend fails, so that there is nothing the client could mend."""
    prompt = need(subject.means.failing_prompt, "a prompt on which the backend fails")
    answer = await subject.ask({"messages": says(prompt)})
    expect(answer.status >= 500, "a status of 500 or more", answer)
    equal("error.code", "server_error", answer.error.get("code"))


async def one_format(subject: Subject) -> None:
    """The same keys, whatever goes wrong."""
    answers = [
        await subject.ask(key=NO_KEY),
        await subject.ask({"model": "no-such-model"}),
        await subject.ask({"temperature": 9}),
        await subject.call("GET", "/nowhere"),
        *(await subject.burst())[-1:],
    ]
    if subject.means.failing_prompt:
        answers.append(await subject.ask({"messages": says(subject.means.failing_prompt)}))
    shapes = {tuple(sorted(answer.error)) for answer in answers}
    expect(len(shapes) == 1 and shapes != {()}, "one set of keys in every error", sorted(shapes))


async def json_everywhere(subject: Subject) -> None:
    """Answers and errors."""
    answers = (await subject.ask(), await subject.call("GET", "/models"), await subject.ask(key=NO_KEY))
    equal("content types", ["application/json"] * 3, [answer.content_type for answer in answers])


async def two_routes(subject: Subject) -> None:
    """They work, and nothing else does."""
    ok(await subject.ask())
    ok(await subject.call("GET", "/models"))
    for path in ("/embeddings", "/completions", "/responses", "/messages", "/files", "/batches"):
        answer = await subject.call("POST", path, {})
        expect(answer.status == 404, f"404 for POST {path}", answer)


async def listed(subject: Subject) -> None:
    """Among the models."""
    names = [model.get("id") for model in ok(await subject.call("GET", "/models")).get("data", [])]
    expect("aurora" in names, "aurora among the models", names)


async def only_aurora(subject: Subject) -> None:
    """The model is required, and there is one."""
    refused(await subject.ask({"model": GONE}), "no model", param="model")
    answer = await subject.ask({"model": "aurora-9"})
    expect(answer.status in {400, 404}, "400 or 404 for another model", answer)


async def bounded(subject: Subject) -> None:
    """Where no bound is given."""
    answer = ok(await subject.ask({"messages": says(LONG)}))
    counted = (answer.get("usage") or {}).get("completion_tokens")
    expect(
        isinstance(counted, int) and counted <= MOST_TOKENS, f"at most {MOST_TOKENS} tokens unasked", counted
    )


async def system_text(subject: Subject) -> None:
    """It counts among the prompt's tokens, and arrives as a message where the backend can be seen."""
    words = subject.phrase()
    without, along = [ok(await subject.ask(fields)) for fields in ({}, {"system": words})]
    counts = [
        count for answer in (without, along) if isinstance(count := at(answer, "usage.prompt_tokens"), int)
    ]
    expect(len(counts) == 2, "prompt tokens", [answer.get("usage") for answer in (without, along)])
    expect(counts[1] > counts[0], "more prompt tokens with a system text", counts)
    if subject.means.received is not None:
        bodies = subject.means.received(words)
        expect(bodies, "the text at the backend", bodies)
        # Principles of the model may stand in front of it.
        told = [str(each.get("content")) for each in bodies[0]["messages"] if each.get("role") == "system"]
        expect(told and told[-1].endswith(words), "the text as the last of the system", told)


def shape(answer: Json) -> object:
    """What of an answer is not as the sample has it."""
    choice = choice_of(answer)
    message = choice.get("message") or {}
    seen = {
        "object": answer.get("object"),
        "index": choice.get("index"),
        "role": message.get("role"),
        "content": isinstance(message.get("content"), str),
        "finish_reason": choice.get("finish_reason"),
    }
    wanted = {
        "object": "chat.completion",
        "index": 0,
        "role": "assistant",
        "content": True,
        "finish_reason": "stop",
    }
    return None if seen == wanted else seen


def total(answer: Json) -> object:
    """The counts, where they do not add up."""
    usage = answer.get("usage") or {}
    names = [f"{name}_tokens" for name in ("prompt", "completion", "total")]
    counts = [usage[name] for name in names if isinstance(usage.get(name), int)]
    if len(counts) == len(names) and counts[0] + counts[1] == counts[2]:
        return None
    return usage or "no usage"


def begins_with(prefix: str) -> Look:
    """Finds what is wrong with an id."""

    def look(answer: Json) -> object:
        told = answer.get("id")
        return None if isinstance(told, str) and told.startswith(prefix) else f"id {told}"

    return look


async def echoed(subject: Subject) -> None:
    """The model that was asked for."""
    equal("model", subject.model, ok(await subject.ask()).get("model"))


async def keyed(subject: Subject) -> None:
    """The tester's own key, wherever it goes."""
    if subject.key == NO_KEY:
        raise Skipped("needs a key (--key)")
    ok(await subject.call("GET", "/models"))


ROWS: Final[tuple[Row, ...]] = (
    row("S1-01", AURORA, "OpenAI's client works with another base URL.", python_sdk),
    row("S1-02", AURORA, "A request without a key meets a 401 with the code unauthorized.", unauthorized(code="unauthorized")),
    row("S1-03", AURORA, "So does one with an invalid key, while a valid one is let in.", both(keyed, unauthorized(code="unauthorized"))),
    row("S1-04", AURORA, "Keys begin with mk_.", key_prefix),
    row("S1-05", AURORA, "An account has at most 3 keys.", most_keys),
    row("S1-06", AURORA, "A free account has 5 requests a minute; the sixth meets a 429.", free_limit),
    row("S1-07", AURORA, "That 429 has the code rate_limited.", limit_code),
    row("S1-08", AURORA, "An internal failure has the code server_error.", failure),
    row("S1-09", AURORA, "All errors share one body format.", one_format),
    row("S1-10", AURORA, "Every endpoint takes and gives JSON.", json_everywhere),
    row("S1-11", AURORA, "There are chat completions and the list of models, and nothing else.", two_routes),
    row("S1-12", AURORA, "The list of models has aurora.", listed),
    row("S1-13", AURORA, "model is required, and no other model is known.", only_aurora),
    row("S1-14", AURORA, "messages is required, each with a role and content.", both(refuses({"messages": GONE}), refuses({"messages": [{"role": "user"}]}, {"messages": [{"content": PROMPT}]}, {"messages": "Hi"}))),
    row("S1-15", AURORA, "Without max_tokens an answer ends after 1024 tokens.", both(takes({"max_tokens": 8}), refuses({"max_tokens": "8"}), bounded)),
    row("S1-16", AURORA, "temperature goes from 0 to 2.", values("temperature", [0, 1, 2], [-0.1, 2.1])),
    row("S1-17", AURORA, "A system field beside the messages is the system prompt.", system_text),
    row("S1-18", AURORA, "Ids of answers begin with cmpl_.", shows("an id that begins with cmpl_", begins_with("cmpl_"))),
    row("S1-19", AURORA, "An answer has object, model, one choice at index 0 with role, content and finish_reason.", both(shows("the shape of the sample", shape), echoed)),
    row("S1-20", AURORA, "Total tokens are those of the prompt and of the completion together.", shows("total = prompt + completion", total)),
    row("S1-21", AURORA, "Answers carry created, which clients need although the sample lacks it.", shows("created as a whole number", lambda answer: None if isinstance(answer.get("created"), int) else f"created {answer.get('created')}")),
    Row("S1-22", "The first version has no streams, the second has them.", {"aurora": both(refuses({"stream": True}), takes({"stream": False})), "aurora-v2": streams()}),
)  # fmt: skip
