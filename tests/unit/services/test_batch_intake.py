"""Requests of a batch as they are judged: like ones gathered into jobs, all faults told at once, nothing held beyond bounds."""

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.addresses import Reach
from ingot.catalog import Catalog, build
from ingot.clock import ManualClock
from ingot.config import ImagesConfig, load
from ingot.dialects.batch_lines import Named, read_line, read_request
from ingot.dialects.chat import CHAT
from ingot.dialects.dialect import Dialect
from ingot.dialects.messages import MESSAGES
from ingot.errors import InvalidRequest
from ingot.limits.memory import MemoryLimiter
from ingot.pricing import usd
from ingot.services.admission import Gate
from ingot.services.batches.fits import Fits
from ingot.services.batches.intake import MOST_FAULTS, MOST_HELD_BYTES, Chunk, Intake, Judge, Judged
from ingot.services.grants import PAR, Grant
from ingot.services.images import Images
from ingot.services.keys import Principal
from ingot.store.batches import MOST_JOB_BYTES
from ingot.upstream.client import tls_context
from ingot.upstream.fetch import Fetcher, Resolver

PATIENT = settings(deadline=None)  # a busy machine is no fault
CONFIG = """
[targets.up]
base_url = "http://127.0.0.1:1/v1"
dialects = ["chat", "messages"]
[models.free]
targets = ["up"]
price = "free"
[models.paid]
targets = ["up"]
price = { input = 1, output = 2, windows = { flex = { input = 0.5, output = 1 } } }
windows = ["asap", "standard", "flex"]
[models.quick]
targets = ["up"]
price = "free"
windows = ["asap", "priority"]
"""
CATALOG: Catalog = build(load(CONFIG, {}))
URL = "/v1/chat/completions"
IMAGES = Images(ImagesConfig(), Fetcher(Reach(), resolve=Resolver(), tls=tls_context))


def gate() -> Gate:
    """Estimates alone are asked of it."""
    return Gate(MemoryLimiter(ManualClock()), None)  # type: ignore[arg-type]  # nothing is reserved here


def judge(
    window: str | None = None, *, grant: Grant | None = None, dialect: Dialect = CHAT, **headers: str
) -> Judge:
    """Who judges requests of one batch."""
    sent = {name.replace("_", "-").encode(): held.encode() for name, held in headers.items()}
    who = Principal("key_1", "kid", "name", "org_1", "inference", grant or Grant())
    fits = Fits(dialect, who, lambda call, _, __: call)
    return Judge(CATALOG, gate(), dialect, who.grant, window, sent, fits, IMAGES)


def intake(
    whom: Judge | None = None,
    *,
    read: Callable[[bytes], Named] = read_request,
    most: int = 1_000_000,
    job_requests: int = 64,
) -> Intake:
    """What takes the requests of one body."""
    return Intake(
        whom or judge(),
        read,
        place=lambda number: f"requests[{number}]",
        inside="params",
        most=most,
        job_requests=job_requests,
    )


def params(model: str = "free", *, size: int = 0, **more: Any) -> dict[str, Any]:
    """A chat request; `size` bytes are in its text."""
    return {"model": model, "messages": [{"role": "user", "content": "x" * size}], **more}


def item(name: str, body: dict[str, Any]) -> bytes:
    """One of `requests`."""
    return json.dumps({"custom_id": name, "params": body}).encode()


def take_all(into: Intake, items: Iterable[bytes]) -> list[Chunk]:
    """The jobs of all these."""
    found = [into.take(number, each) for number, each in enumerate(items)]
    return [*(each for each in found if each is not None), *into.rest()]


def judged(whom: Judge, body: dict[str, Any]) -> Judged:
    """One request, judged."""
    return whom.judge(Named("a", json.dumps(body).encode()))


def refusal(items: list[bytes], **how: Any) -> InvalidRequest:
    """What a body of these is refused with."""
    with pytest.raises(InvalidRequest) as caught:
        take_all(intake(**how), items)
    return caught.value


# ---- jobs


@PATIENT
@given(st.lists(st.sampled_from(["free", "paid", "quick"]), max_size=40), st.integers(1, 7))
def test_every_request_is_in_one_job_of_its_like(models: list[str], job_requests: int) -> None:
    """Of one model and one window, in the order they came, full but for the last of each kind."""
    items = [item(f"n{number}", params(model)) for number, model in enumerate(models)]
    chunks = take_all(intake(job_requests=job_requests), items)
    wanted = {f"n{number}": model for number, model in enumerate(models)}
    told = [(each.custom_id, each.model) for chunk in chunks for each in chunk.members]
    assert sorted(told) == sorted(wanted.items())
    for model in set(models):
        own = [chunk for chunk in chunks if chunk.model == model]
        assert all(
            {(each.model, each.window) for each in chunk.members} == {(model, "standard")} for chunk in own
        )
        assert [len(chunk.members) for chunk in own[:-1]] == [job_requests] * (len(own) - 1)
        assert 1 <= len(own[-1].members) <= job_requests
        order = [int(each.custom_id[1:]) for chunk in own for each in chunk.members]
        assert order == sorted(order)


def test_jobs_are_apart_when_windows_are() -> None:
    """Requests of one model with different windows are due at different times."""
    bodies = [params("paid"), params("paid", service_tier="flex"), params("paid")]
    chunks = take_all(intake(), [item(f"n{number}", body) for number, body in enumerate(bodies)])
    assert [(chunk.window, len(chunk.members)) for chunk in chunks] == [("standard", 2), ("flex", 1)]


class Plain:
    """Judges nothing, so that sizes alone count."""

    def judge(self, named: Named) -> Judged:
        """The name says which group it is of."""
        return Judged(named.custom_id, named.body, None, named.custom_id[0], "standard", 1, 1, 0)


PIECES = {size: bytes(size) for size in (1, 1_000, 700_000, 1_100_000, MOST_JOB_BYTES, 9_000_000)}


@PATIENT
@given(
    st.lists(st.tuples(st.sampled_from("abcdefghij"), st.sampled_from(sorted(PIECES))), max_size=40),
    st.integers(1, 5),
)
def test_no_more_is_held_than_the_bound_whatever_comes(sizes: list[tuple[str, int]], most: int) -> None:
    """No job has more bytes than one may have, unless one request alone has; what waits for a job is bounded as well."""
    into = intake(Plain(), read=lambda data: named[int(data)], job_requests=most)  # type: ignore[arg-type]  # what is called
    named = [Named(f"{group}{number}", PIECES[size]) for number, (group, size) in enumerate(sizes)]
    chunks: list[Chunk] = []
    for number in range(len(named)):
        chunk = into.take(number, str(number).encode())
        chunks += [] if chunk is None else [chunk]
        given_out = sum(len(each.body) for chunk in chunks for each in chunk.members)
        assert sum(len(each.body) for each in named[: number + 1]) - given_out <= MOST_HELD_BYTES
    chunks += into.rest()
    for chunk in chunks:
        assert 1 <= len(chunk.members) <= most
        assert len(chunk.members) == 1 or sum(len(each.body) for each in chunk.members) <= MOST_JOB_BYTES
    told = [each.custom_id for chunk in chunks for each in chunk.members]
    assert sorted(told) == sorted(each.custom_id for each in named)


# ---- what is refused


def test_name_is_refused_when_it_is_given_twice() -> None:
    """By the place of the second one, and the name."""
    error = refusal([item("a", params()), item("b", params()), item("a", params())])
    assert (error.param, error.code) == ("requests[2].custom_id", "duplicate_custom_id")
    assert "'a' is another request's, too" in error.message
    assert error.message.endswith("Nothing of the batch was taken.")


def test_name_is_refused_when_the_first_of_it_was_faulty() -> None:
    """A fault of one hides none of the other."""
    error = refusal([item("a", params("nobody")), item("a", params())])
    assert error.message.startswith(
        "Nothing of the batch was taken; the first 2 faults are: (1) requests[0]: "
    )
    assert "(2) requests[1]: " in error.message


@pytest.mark.parametrize(
    ("body", "param", "code", "words"),
    [
        (params("nobody"), "requests[0].params.model", "model_not_found", "`nobody`"),
        (params(stream=True), "requests[0].params.stream", "invalid_value", "not for requests of a batch"),
        (
            params(background=True),
            "requests[0].params.background",
            "invalid_value",
            "not for requests of a batch",
        ),
        (params(temperature=9), "requests[0].params.temperature", "decimal_above_max_value", "from 0 to 2"),
        ({"model": "free"}, "requests[0].params.messages", "missing_required_parameter", "messages"),
        (
            params("paid", metadata={"completion_window": "asap"}),
            "requests[0].params.metadata.completion_window",
            "unsupported_value",
            "offered in 'standard' and 'flex', not in 'asap'",
        ),
        (
            params("paid", metadata={"completion_window": "standard"}, service_tier="flex"),
            "requests[0].params.metadata.completion_window",
            "invalid_value",
            "Send one of them",
        ),
        (
            params("quick", metadata={"completion_window": "priority"}),
            "requests[0].params.metadata.completion_window",
            "unsupported_value",
            "offered in 'standard', not in 'priority'",
        ),
    ],
    ids=["model", "stream", "background", "value", "missing", "asap", "tier", "not in batches"],
)
def test_request_is_refused_by_its_place_and_field(
    body: dict[str, Any], param: str, code: str, words: str
) -> None:
    """What can be refused is refused before anything of the batch runs."""
    error = refusal([item("a", body)])
    assert (error.param, error.code, error.status) == (param, code, 400)
    assert error.message.startswith("requests[0]: ")
    assert words in error.message


@pytest.mark.parametrize("data", [b"[]", b'{"custom_id":1,}', b'{"custom_id":"a","params":[]}', b"nul"])
def test_what_is_no_request_is_refused_by_its_place(data: bytes) -> None:
    """Whatever stands there."""
    error = refusal([item("a", params()), data])
    assert error.param is not None
    assert error.param.startswith("requests[1]")
    assert error.message.startswith("requests[1]: ")


def test_fields_that_say_no_are_taken() -> None:
    """`stream` and `background` may be there, if they ask for nothing."""
    body = params(stream=False, background=False)
    assert len(take_all(intake(), [item("a", body)])) == 1


def test_first_faults_are_told_together_when_there_are_several() -> None:
    """Each with its place, the error's own place being that of the first; no job is made of the rest."""
    items = [item(f"n{number}", params("nobody" if number % 2 else "free")) for number in range(7)]
    into = intake(job_requests=1)
    assert [into.take(number, each) is None for number, each in enumerate(items)] == [False] + [True] * 6
    with pytest.raises(InvalidRequest) as caught:
        into.rest()
    assert caught.value.param == "requests[1].params.model"
    assert caught.value.code == "model_not_found"
    assert "the first 3 faults are: (1) requests[1]: " in caught.value.message
    assert all(f"({count}) requests[{place}]: " in caught.value.message for count, place in ((2, 3), (3, 5)))
    assert [number for number, _ in into.faults] == [1, 3, 5]


def test_reading_stops_when_ten_faults_were_found() -> None:
    """The tenth is the last one that is told."""
    into = intake()
    for number in range(MOST_FAULTS - 1):
        assert into.take(number, b"{}") is None
    with pytest.raises(InvalidRequest, match="the first 10 faults are") as caught:
        into.take(MOST_FAULTS - 1, b"{}")
    assert f"(10) requests[{MOST_FAULTS - 1}]: " in caught.value.message
    assert "(11)" not in caught.value.message


def test_batch_is_refused_when_it_has_too_many_requests() -> None:
    """The most are taken, one more is not."""
    assert len(take_all(intake(most=3), [item(f"n{number}", params()) for number in range(3)])) == 1
    error = refusal([item(f"n{number}", params()) for number in range(4)], most=3)
    assert (error.param, error.code) == ("requests", "array_above_max_length")
    assert "at most 3 requests" in error.message


def test_lines_are_placed_by_their_numbers_when_a_file_is_read() -> None:
    """The parameter is that within the line: who tells faults of files tells the line beside it."""
    into = Intake(
        judge(),
        partial(read_line, endpoint=URL),
        place=lambda _: "",
        inside="body",
        most=10,
        job_requests=64,
    )
    line = {"custom_id": "a", "method": "POST", "url": URL, "body": params(temperature=9)}
    assert into.take(3, json.dumps(line).encode()) is None
    assert into.take(5, json.dumps(line | {"custom_id": "b", "url": "/v1/x"}).encode()) is None
    assert [(number, fault.param) for number, fault in into.faults] == [(3, "body.temperature"), (5, "url")]


# ---- windows and prices


@pytest.mark.parametrize(
    ("window", "body", "expected"),
    [
        (None, params("paid"), "standard"),
        (None, params("free"), "standard"),
        (None, params("quick"), "standard"),
        ("flex", params("paid"), "flex"),
        ("flex", params("free"), "standard"),
        ("flex", params("paid", metadata={"completion_window": "standard"}), "standard"),
        ("standard", params("paid", metadata={"completion_window": "flex"}), "flex"),
        ("standard", params("paid", service_tier="flex"), "flex"),
        ("flex", params("paid", service_tier="default"), "flex"),
        ("flex", params("paid", metadata={"mine": "x"}), "flex"),
        (None, params("free", service_tier="flex"), "standard"),
    ],
)
def test_window_is_the_requests_own_then_the_batchs_then_the_models(
    window: str | None, body: dict[str, Any], expected: str
) -> None:
    """Where a model has it; each model has `standard` in a batch, whatever it is offered in otherwise."""
    assert judged(judge(window), body).window == expected


def test_most_is_at_the_price_of_the_window_and_of_who_pays() -> None:
    """A free model costs nothing; the plan's factor counts."""
    body = params("paid", max_tokens=100)
    standard = judged(judge(), body)
    flex = judged(judge("flex"), body)
    assert (standard.written, flex.written) == (100, 100)
    assert standard.most == 2 * flex.most > 0
    assert judged(judge(grant=Grant(price_factor=PAR // 2)), body).most * 2 == standard.most
    assert usd(standard.most) >= usd(100 * 2_000_000)
    assert judged(judge(), params("free")).most == 0


def test_model_is_not_found_when_the_key_may_not_use_it() -> None:
    """It is told as one that does not exist."""
    error = refusal([item("a", params("paid"))], whom=judge(grant=Grant(models=frozenset({"free"}))))
    assert (error.param, error.code) == ("requests[0].params.model", "model_not_found")


def test_body_keeps_its_bytes_when_judged() -> None:
    """But for the secret that nobody but a webhook is to see."""
    data = b'{"model": "free", "messages": [{"role":"user","content":"\\u00e4"}],  "seed": 1}'
    assert judge().judge(Named("a", data)).body == data
    told = judged(judge(), params(metadata={"webhook_token": "hidden", "k": "v"})).body
    assert b"hidden" not in told
    assert json.loads(told)["metadata"] == {"k": "v"}


def test_headers_of_the_batch_are_those_of_each_request() -> None:
    """What Anthropic's clients say in headers counts for every message."""
    body = {"model": "free", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
    made = judged(judge(dialect=MESSAGES, anthropic_version="2023-06-01"), body)
    assert made.headers is not None
    assert json.loads(made.headers)["anthropic-version"] == "2023-06-01"
