"""The checker of histories finds each violation, and nothing where there is none."""

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from faults.batches import Line, read_line
from faults.checker import Findings, check
from faults.history import Event, Journal, batch_of, canary, foreign_bytes, gather, operation_in

WORD = "canary-ada-op1-00000001"


def event(at: float, what: Any, **fields: Any) -> Event:
    """An event of the one operation of a small history."""
    return Event(**{"at": at, "what": what, "op": "op1", "tenant": "ada"} | fields)


SOUND = [
    event(1, "submit", text=WORD, hook=True),
    event(2, "admit", run="resp_1"),
    event(3, "read", state="queued"),
    event(4, "exec_start", run="1"),
    event(5, "read", state="in_progress"),
    event(6, "exec_end", run="1", input=4, output=5, characters=40),
    event(7, "settle", run="resp_1", state="completed", input=4, output=5, bills=1, text=WORD),
    event(8, "event_sent", run="evt_1"),
    event(9, "event_acked", run="evt_1"),
    event(10, "read", state="completed", text=WORD),
    event(11, "read", state="completed", text=WORD),
    event(12, "fence", op="", count=2),
]


def changed(place: int, **fields: Any) -> list[Event]:
    """The sound history with one event changed."""
    events = list(SOUND)
    events[place] = msgspec.structs.replace(events[place], **fields)
    return events


def without(*places: int) -> list[Event]:
    """The sound history without some events."""
    return [each for place, each in enumerate(SOUND) if place not in places]


def test_nothing_is_found_when_the_history_is_sound() -> None:
    """One operation, one execution, one bill, told once; and what is counted."""
    found = check(SOUND)
    assert found.all == []
    counted = (found.operations, found.executions, found.repeats, found.foreign, found.fenced)
    assert counted == (1, 1, 0, 0, 2)


def of_batch(at: float, what: Any, op: str = "b1", **fields: Any) -> Event:
    """An event of a small batch, or of one of its two requests."""
    return Event(**{"at": at, "what": what, "op": op, "tenant": "ada"} | fields)


NEW, HALF = {"total": 2, "pending": 2, "completed": 0}, {"total": 2, "pending": 1, "completed": 1}
OVER = {"total": 2, "pending": 0, "completed": 1, "cancelled": 1}
BATCH = [
    *[of_batch(1, "submit", op, state="item", text=WORD) for op in ("b1i0", "b1i1")],
    of_batch(2, "poll", state="in_progress", counts=NEW),
    *[of_batch(2, "admit", op) for op in ("b1i0", "b1i1")],
    of_batch(3, "exec_start", "b1i0", run="1"),
    of_batch(4, "exec_end", "b1i0", run="1", input=4, output=5, characters=40),
    of_batch(5, "poll", state="in_progress", counts=HALF),
    of_batch(6, "poll", state="cancelled", counts=OVER),
    of_batch(7, "result", "b1i0", run="b1", state="completed", text=WORD),
    of_batch(7, "result", "b1i1", run="b1", state="cancelled"),
    of_batch(8, "settle", "b1i0", state="completed", input=4, output=5, bills=1, text=WORD, batch="batch_1"),
    of_batch(8, "settle", "b1i1", state="cancelled", batch="batch_1"),
    of_batch(
        9, "kept", run="batch_1", state="cancelled", counts={"total": 2, "completed": 1, "cancelled": 1}
    ),
]


def batch_with(place: int, **fields: Any) -> list[Event]:
    """The sound batch with one event changed."""
    events = list(BATCH)
    events[place] = msgspec.structs.replace(events[place], **fields)
    return events


def test_nothing_is_found_when_a_batch_is_sound() -> None:
    """One request is answered and billed, the other ended early; both have their line."""
    found = check(BATCH)
    assert found.all == []
    assert (found.operations, found.executions) == (2, 1)


VIOLATIONS: list[tuple[str, str, list[Event]]] = [
    ("lost", "no end", without(6, 9, 10)),
    ("lost", "no end", without(1, 6)),  # never admitted, but told as answered
    ("lost", "waits to this day", [*without(6, 9, 10), event(20, "waiting", run="resp_1")]),
    ("lost", "ended otherwise", changed(6, state="failed", bills=0)),
    ("doubled", "2 ledger rows", changed(6, bills=2)),
    ("doubled", "2 ledger rows", [*SOUND, event(20, "settle", run="resp_2", state="failed", bills=1, input=4, output=5)]),
    ("doubled", "completed 2 times", [*SOUND, event(20, "settle", run="resp_2", state="completed")]),
    ("doubled", "no ledger row", changed(6, bills=0)),
    ("doubled", "nobody sent it", [*SOUND, event(20, "settle", op="ghost", state="completed", bills=1)]),
    ("tokens", "8 and 10 tokens", changed(6, input=8, output=10)),  # those of two executions
    ("tokens", "4 and 5 tokens", changed(5, whole=False)),  # no execution came to its end
    ("tokens", "4 and 50 tokens", changed(6, output=50, estimated=True)),  # more than was said at all
    ("backwards", "in_progress and is queued", changed(4, at=2.5)),
    ("backwards", "completed and is failed", changed(10, state="failed")),
    ("backwards", "something else", changed(10, text="canary-ada-op1-00000002")),
    ("backwards", "completed and is in_progress", changed(4, at=10.5)),
    ("wrong", "read says", changed(9, text="something")),
    ("wrong", "settle says", changed(6, text="something")),
    ("mixed", "23 bytes", changed(9, foreign=23)),
    ("mixed", "23 bytes", changed(6, foreign=23)),
    ("mixed", "more than one tenant", changed(6, tenant="bea")),
    ("mixed", "more than one tenant", changed(3, tenant="bea")),
    ("untold", "told to nobody", without(7, 8)),
    ("untold", "never arrived", without(8)),
    ("uncounted", "do not add up", batch_with(7, counts={"total": 2, "pending": 0, "completed": 1})),
    ("uncounted", "do not add up", batch_with(7, counts={"total": 2, "pending": -1, "completed": 3})),
    ("uncounted", "became", batch_with(7, counts={"total": 2, "pending": 0, "completed": 2})),
    ("uncounted", "cancelled and is expired", batch_with(13, state="expired")),
    ("uncounted", "made 2 times", [*BATCH, msgspec.structs.replace(BATCH[13], run="batch_2")]),
    ("uncounted", "b1i1 has 0 results", [*BATCH[:10], *BATCH[11:]]),
    ("uncounted", "b1i0 has 2 results", [*BATCH, BATCH[9]]),
    ("uncounted", "b1i7 has 1 results", [*BATCH, msgspec.structs.replace(BATCH[10], op="b1i7")]),
    ("uncounted", "its results are", batch_with(10, state="failed")),
    ("lost", "b1i1: it was taken and has no end", [*BATCH[:12], BATCH[13]]),
    ("doubled", "more than one batch", [*BATCH, msgspec.structs.replace(BATCH[12], batch="batch_2")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "says", "events"), VIOLATIONS, ids=[f"{row[0]}: {row[1]}" for row in VIOLATIONS]
)
def test_violation_is_found(rule: str, says: str, events: list[Event]) -> None:
    """Each of them stands under its rule, with the operation's name."""
    found = check(sorted(events, key=lambda each: each.at))
    sentences = getattr(found, rule)
    assert [each for each in sentences if says in each], found.all
    assert all(each in found.all for each in sentences)


def test_every_rule_has_a_violation_that_is_tried() -> None:
    """A rule that nobody breaks on purpose may find nothing at all."""
    rules = {name for name, kind in Findings.__annotations__.items() if kind == list[str]}
    assert {row[0] for row in VIOLATIONS} == rules


def test_estimate_is_right_when_the_execution_broke_off() -> None:
    """Less than was said, and marked as an estimate."""
    events = changed(5, whole=False)
    events[6] = msgspec.structs.replace(events[6], output=10, estimated=True)
    assert check(events).all == []


def test_repeats_are_counted_when_an_operation_runs_again() -> None:
    """An execution that broke off is no violation, and its repetition is counted."""
    again = [event(3.5, "exec_start", run="0"), event(3.6, "exec_end", run="0", whole=False), *SOUND]
    found = check(sorted(again, key=lambda each: each.at))
    assert (found.all, found.executions, found.repeats) == ([], 2, 1)


LINES = [
    ({"custom_id": "a", "response": {"status_code": 200, "body": {"choices": [{"message": {"content": "hi"}}]}}, "error": None}, Line("a", "completed", "hi")),
    ({"custom_id": "a", "response": {"status_code": 400, "body": {}}, "error": None}, Line("a", "failed", None, "400")),
    ({"custom_id": "a", "response": None, "error": {"code": "batch_cancelled"}}, Line("a", "cancelled", None, "batch_cancelled")),
    ({"custom_id": "a", "response": None, "error": {"code": "batch_expired"}}, Line("a", "expired", None, "batch_expired")),
    ({"custom_id": "a", "result": {"type": "succeeded", "message": {"content": [{"type": "text", "text": "hi"}]}}}, Line("a", "completed", "hi", "None")),
    ({"custom_id": "a", "result": {"type": "errored", "error": {"error": {"type": "api_error"}}}}, Line("a", "failed", None, "api_error")),
    ({"custom_id": "a", "result": {"type": "canceled"}}, Line("a", "cancelled", None, "None")),
]  # fmt: skip


@pytest.mark.parametrize(("told", "line"), LINES)
def test_line_of_results_is_read_in_any_shape(told: Any, line: Line) -> None:
    """OpenAI's lines and Anthropic's say the same of a request."""
    assert read_line(msgspec.json.encode(told)) == line


def test_request_of_a_batch_is_told_by_its_name() -> None:
    """An operation's name says whose request it is, if it is one."""
    assert (batch_of("f01r0l0n3i12"), batch_of("f01r0l0n3")) == ("f01r0l0n3", "")


def test_logs_are_one_history_when_they_are_gathered(tmp_path: Path) -> None:
    """Each process has a log of its own, to which it only adds; together they are in the order of time."""
    for _ in range(2):  # the second one goes on where the first one ended
        for who, part in (("client", SOUND[0::2]), ("upstream", SOUND[1::2])):
            journal = Journal(tmp_path, who)
            for each in part:
                journal.write(each)
            journal.close()
    events = gather(tmp_path)
    assert [each.at for each in events] == sorted([each.at for each in SOUND] * 2)
    assert {each.who for each in events} == {"client", "upstream"}


def test_canaries_tell_whose_bytes_they_are() -> None:
    """One's own count for nothing, all others are foreign, those of the same tenant too."""
    draw = random.Random(1)  # noqa: S311  # a seeded word
    own, other = canary("ada", "op1", draw), canary("bea", "op2", draw)
    sibling = canary("ada", "op3", draw)
    data = f"<{own} {other} {sibling}>".encode()
    assert operation_in(data) == ("ada", "op1")
    assert operation_in(b"nothing") is None
    assert foreign_bytes(data, tenant="ada", op="op1") == len(other) + len(sibling)
