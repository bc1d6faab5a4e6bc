"""The wire that OpenAI's clients know: paths, keys, headers, errors, limits, retries. Rows W-01 to W-24; contract §1."""

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from ingot.conformance.examples import says
from ingot.conformance.record import ALL, Check, Row, row
from ingot.conformance.rows.aurora import burst
from ingot.conformance.rows.reference import fresh, stored_answer
from ingot.conformance.rows.valley import NODE, PYTHON
from ingot.conformance.subject import GONE, NO_KEY, Subject
from ingot.conformance.trying import both, equal, expect, ok, refused
from ingot.conformance.wire import Answer

OPEN: Final = "open"
KEYS: Final = ("message", "type", "param", "code")
LONGEST_WAIT: Final = 120
FIGURES: Final = tuple(
    f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")
)
DURATION: Final = re.compile(r"(\d+h)?(\d+m)?(\d+(\.\d+)?s)?(\d+ms)?")


def fault(fields: dict[str, Any], *, code: str, param: str, status: int = 400) -> Check:
    """A request that is refused with this code at this place."""

    async def check(subject: Subject) -> None:
        error = refused(await subject.ask(fields), str(fields), status=status)
        equal("code", code, error.get("code"))
        equal("param", param, error.get("param"))

    return check


def unreadable(body: bytes, what: str) -> Check:
    """A body that is no request."""

    async def check(subject: Subject) -> None:
        refused(await subject.call("POST", "/chat/completions", body), what)

    return check


def headed(holds: Callable[[Answer], object], expected: str) -> Check:
    """Holds for answers, for streams and for errors."""

    async def check(subject: Subject) -> None:
        answers = (await subject.ask(), await subject.ask({"messages": []}), await subject.ask(key=NO_KEY))
        for answer in answers:
            expect(holds(answer), expected, dict(answer.headers))

    return check


async def unknown_path(subject: Subject) -> None:
    """Told as an error, not as a page."""
    for method, path in (("GET", "/nowhere"), ("POST", "/chat/completion")):
        refused(
            await subject.call(method, path, {} if method == "POST" else None), f"{method} {path}", status=404
        )


async def four_keys(subject: Subject) -> None:
    """In every error."""
    answers = (
        await subject.ask({"messages": []}),
        await subject.ask({"model": "no-such-model"}),
        await subject.ask(key=NO_KEY),
        await subject.call("GET", "/nowhere"),
    )
    for answer in answers:
        equal("keys of an error", sorted(KEYS), sorted(answer.error))


async def both_headers(subject: Subject) -> None:
    """The same key twice is one, two keys are an error."""
    ok(await subject.ask(headers={"x-api-key": subject.key}), "the same key in both headers")
    refused(await subject.ask(headers={"x-api-key": "another"}), "two different keys")


async def own_request_id(subject: Subject) -> None:
    """A client's own id comes back."""
    answer = await subject.ask(headers={"x-request-id": "probe-7"})
    equal("x-request-id", "probe-7", answer.headers.get("x-request-id"))


async def wrong_method(subject: Subject) -> None:
    """With what would be right."""
    answer = await subject.call("PUT", "/chat/completions", {})
    refused(answer, "PUT /chat/completions", status=405)
    expect("POST" in answer.headers.get("allow", ""), "POST in Allow", answer.headers.get("allow"))


async def unknown_field(subject: Subject) -> None:
    """Models and engines have their own."""
    ok(await subject.ask({"top_k": 5, "a_field_of_its_own": {"deep": [1]}}), "fields that no reference names")


async def model_list(subject: Subject) -> None:
    """Objects with four keys, each to be found by its id, also where that has a slash."""
    answer = ok(await subject.call("GET", "/models"))
    equal("object", "list", answer.get("object"))
    for model in answer.get("data", []):
        wanted = {"id": str, "object": str, "created": int, "owned_by": str}
        right = all(isinstance(model.get(name), kind) for name, kind in wanted.items())
        expect(right and model["object"] == "model", "id, object, created and owned_by", model)
        found = await subject.call("GET", f"/models/{quote(model['id'], safe='')}")
        equal("id", model["id"], ok(found, model["id"]).get("id"))


async def no_such_model(subject: Subject) -> None:
    """In a path and in a body."""
    refused(await subject.call("GET", "/models/no-such-model"), "an unknown model", status=404)
    error = refused(await subject.ask({"model": "no-such-model"}), "an unknown model", status=404)
    equal("code", "model_not_found", error.get("code"))


async def sdk_headers(subject: Subject) -> None:
    """What clients send beside the request changes nothing."""
    more = {"openai-organization": "org-1", "openai-project": "proj-1", "openai-beta": "assistants=v2"}
    for headers in (PYTHON, NODE, more):
        ok(await subject.ask(headers=headers), str(sorted(headers)))


async def figures(subject: Subject) -> None:
    """On answers and on refusals, and they count down."""
    answers = await burst(subject)
    for answer in answers:
        missing = [name for name in FIGURES if name not in answer.headers]
        expect(not missing, "six headers about limits", f"without {', '.join(missing)}")
        for of in ("requests", "tokens"):
            reset = answer.headers[f"x-ratelimit-reset-{of}"]
            expect(reset and DURATION.fullmatch(reset), "a duration such as 6m0s or 12ms", reset)
    left = [int(answer.headers["x-ratelimit-remaining-requests"]) for answer in answers]
    expect(
        left == sorted(left, reverse=True) and left[-1] == 0, "remaining requests that count down to 0", left
    )


async def come_back(subject: Subject) -> None:
    """In seconds and in milliseconds, and not later than clients are ready to wait."""
    answer = (await burst(subject))[-1]
    error = refused(answer, "a request above the limit", status=429)
    expect(error.get("code"), "a code", answer)
    seconds, millis = answer.headers.get("retry-after", ""), answer.headers.get("retry-after-ms", "")
    expect(seconds.isdigit() and 0 < int(seconds) <= LONGEST_WAIT, "retry-after of 1 to 120 seconds", seconds)
    expect(millis.isdigit() and 0 < int(millis) <= int(seconds) * 1000, "retry-after-ms within it", millis)


async def refused_free(subject: Subject) -> None:
    """A refusal leaves the key free, and another body under a used one is an error."""
    headers = fresh()
    refused(await subject.ask({"messages": []}, headers=headers), "no messages")
    ok(await subject.ask(headers=headers), "the key of a refused request")
    error = refused(
        await subject.ask({"messages": says("Other.")}, headers=headers), "another body under a known key"
    )
    equal("type", "idempotency_error", error.get("type"))


async def replayed_stream(subject: Subject) -> None:
    """As a stream, event for event the same answer."""
    headers = fresh()
    first, again = [await subject.ask({"stream": True}, headers=headers) for _ in range(2)]
    equal("status", 200, again.status)
    equal("content-type", "text/event-stream", again.content_type)
    ids = {chunk.get("id") for answer in (first, again) for chunk in answer.chunks}
    expect(len(ids) == 1, "one id in both streams", sorted(map(str, ids)))


async def compressed(subject: Subject) -> None:
    """Bodies are taken as they are, or the refusal says so."""
    answer = await subject.ask(headers={"content-encoding": "gzip"})
    expect(400 <= answer.status < 500 and answer.error.get("message"), "an error that says why", answer)


def is_json(answer: Answer) -> bool:
    """What clients read."""
    return answer.content_type == "application/json"


ROWS: Final[tuple[Row, ...]] = (
    row("W-01", ALL, "An unknown path is a 404 in the error envelope.", unknown_path),
    row("W-02", OPEN, "An error has message, type, param and code.", four_keys),
    row("W-03", ALL, "Every answer carries x-request-id.", headed(lambda answer: answer.headers.get("x-request-id"), "x-request-id")),
    row("W-04", ALL, "A client's own x-request-id comes back.", own_request_id),
    row("W-05", ALL, "Answers and errors are application/json.", headed(is_json, "application/json")),
    row("W-06", OPEN, "Two headers with different keys are an error.", both_headers),
    row("W-07", ALL, "A body that is no JSON is a 400.", both(unreadable(b"{", "half an object"), unreadable(b"", "an empty body"), unreadable(b"[]", "an array"))),
    row("W-08", ALL, "A key that is given twice is a 400.", unreadable(b'{"model":"a","model":"b","messages":[]}', "a key given twice")),
    row("W-09", OPEN, "A missing field has the code missing_required_parameter.", fault({"messages": GONE}, code="missing_required_parameter", param="messages")),
    row("W-10", OPEN, "A wrong type has the code invalid_type and the path of the field.", fault({"messages": [{"role": "user", "content": 5}]}, code="invalid_type", param="messages[0].content")),
    row("W-11", OPEN, "A number below its range has a code that says so.", fault({"max_tokens": 0}, code="integer_below_min_value", param="max_tokens")),
    row("W-12", OPEN, "A number above its range has a code that says so.", fault({"temperature": 2.5}, code="decimal_above_max_value", param="temperature")),
    row("W-13", OPEN, "A value that is none of those there are has a code that says so.", fault({"reasoning_effort": "best"}, code="invalid_value", param="reasoning_effort")),
    row("W-14", OPEN, "An unknown model is a 404 model_not_found.", no_such_model),
    row("W-15", OPEN, "A wrong method is a 405 that names the right one.", wrong_method),
    row("W-16", OPEN, "Fields that nobody knows pass through.", unknown_field),
    row("W-17", ALL, "Models are listed with four keys each, and found by id with slashes encoded.", model_list),
    row("W-18", ALL, "The headers of OpenAI's clients are no trouble.", sdk_headers),
    row("W-19", OPEN, "Limits are told on every answer, and count down.", figures),
    row("W-20", OPEN, "A 429 says when to come back, within two minutes.", come_back),
    row("W-21", OPEN, "A retry with the same Idempotency-Key gets the stored answer.", stored_answer),
    row("W-22", OPEN, "A refused request leaves its key free; another body under a used key is an idempotency_error.", refused_free),
    row("W-23", OPEN, "A retried stream is a stream again.", replayed_stream),
    row("W-24", ALL, "A compressed body is refused in words.", compressed),
)  # fmt: skip
