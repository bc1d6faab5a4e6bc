"""What stored answers say of their own usage, held against the ledger.

    the answer tells a usage     the row's tokens are these, and are not marked as estimated
    it tells none, as a body     the row is marked as estimated
    it tells none, as a stream   nothing: its client did not ask for usage, and was given none

Reads every answer that was kept of a completed call, some megabytes at a time, so that memory stays bounded whatever there is.
Decides what has to agree. An answer of another dialect, or one that is no JSON object, is counted as mute. Changes nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, LargeBinary, and_, bindparam, cast, func, select

from ingot.dialects import messages_usage, responses_usage
from ingot.dialects.dialect import Usage
from ingot.dialects.usage import read_usage, usage_at
from ingot.dialects.wordage import length_of_answer
from ingot.store.findings import PAGE, Finding
from ingot.store.schema import ledger, responses

MOST_BYTES: Final = 8 * 1024 * 1024
"""Of answers in memory at once; a larger one is alone."""


@dataclass(frozen=True, slots=True)
class _Tongue:
    """How a dialect tells usage: in a whole answer, in an object that is a usage, and by which member one is known."""

    read: Callable[[bytes], Usage | None]
    at: Callable[[dict[str, Any]], Usage | None]
    mark: str


_OPENAI: Final = _Tongue(read_usage, usage_at, "prompt_tokens")
_ANTHROPIC: Final = _Tongue(messages_usage.read_usage, messages_usage.usage_at, "input_tokens")
_RESPONSES: Final = _Tongue(responses_usage.read_usage, responses_usage.usage_at, "input_tokens")
_TONGUES: Final = {
    "chat": _OPENAI,
    "completions": _OPENAI,
    "embeddings": _OPENAI,
    "messages": _ANTHROPIC,
    "responses": _RESPONSES,
    "compact": _RESPONSES,
}
"""By surface."""

_NOT_COUNTED: Final = frozenset({"choices", "data"})

_l, _r = ledger.c, responses.c
_ROWS = (
    select(
        _l.seq,
        _l.billable_id,
        _l.input_tokens,
        _l.cached_tokens,
        _l.output_tokens,
        _l.reasoning_tokens,
        _l.estimated,
        _r.streamed,
        _r.surface,
        _r.fidelity,
        func.length(_r.answer).label("size"),
    )
    .join(responses, and_(_r.id == _l.billable_id, _r.state == "completed", _r.answer.is_not(None)))
    .where(_l.kind == "inference", _l.seq > bindparam("after"))
    .order_by(_l.seq)
    .limit(PAGE)
)
# SQLite keeps a text as one, whatever the column is for.
_ANSWERS = select(_r.id, cast(_r.answer, LargeBinary).label("answer")).where(
    _r.id.in_(bindparam("ids", expanding=True))
)

_object = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(slots=True)
class Heard:
    """How many answers were read, and how many of these told a usage."""

    answers: int = 0
    told: int = 0


def testimony(conn: Connection, heard: Heard) -> Iterator[Finding]:
    """Every kept answer that tells what it used tells what its ledger row says; counts in `heard` what was read."""
    after = -1
    while True:
        rows = conn.execute(_ROWS, {"after": after}).all()
        for some in _portions(rows):
            found = conn.execute(_ANSWERS, {"ids": [row.billable_id for row in some]})
            answers: dict[str, bytes] = {row.id: row.answer for row in found}
            for row in some:
                heard.answers += 1
                problem = _problem(row, bytes(answers[row.billable_id]), heard)
                if problem:
                    yield Finding("testimony", row.billable_id, problem)
        if len(rows) < PAGE:
            return
        after = rows[-1].seq


def _portions(rows: Sequence[Any]) -> Iterator[list[Any]]:
    """Runs of rows whose answers fit into memory together."""
    run: list[Any] = []
    size = 0
    for row in rows:
        if run and size + row.size > MOST_BYTES:
            yield run
            run, size = [], 0
        run.append(row)
        size += row.size
    if run:
        yield run


def _problem(row: Any, answer: bytes, heard: Heard) -> str | None:
    tongue = _TONGUES.get(row.surface)
    if tongue is None:
        return None
    booked = (row.input_tokens, row.cached_tokens, row.output_tokens, row.reasoning_tokens)
    try:
        told = tongue.read(answer)
        # A target may have another place for its counts than the usual one: any of them may be what was booked.
        all_told = (
            [told] if told is not None and _figures(told) == booked else _search(_object(answer), tongue)
        )
    except (ValueError, RecursionError):
        return None  # a stream that is kept as its events
    if not all_told:
        if row.streamed or row.estimated:
            return None
        return "is not marked as estimated, and the stored answer tells no usage"
    heard.told += 1
    if row.estimated:
        # A count of no output that stands beside output is none. Where a target told nothing, a translated answer tells what
        # was estimated; older ones have zeros in its place.
        counted = any(each.input or each.output for each in all_told)
        silent = not any(each.output for each in all_told)
        ours = row.fidelity == "translated" and booked in map(_figures, all_told)
        if ours or not counted or (silent and any(length_of_answer(answer) or ())):
            return None
        return "is marked as estimated, but the stored answer tells its usage"
    if booked not in map(_figures, all_told):
        return "has {} input ({} cached) and {} output ({} reasoning) tokens".format(
            *booked
        ) + ", but the stored answer says {} ({}) and {} ({})".format(*_figures(all_told[0]))
    return None


def _figures(told: Usage) -> tuple[int, int, int, int]:
    return (told.input, told.cached_input, told.output, told.reasoning)


def _search(value: dict[str, Any], tongue: _Tongue) -> list[Usage]:
    """Every usage in an answer, wherever it stands beside what was answered."""
    found: list[Usage] = []
    left = [value]
    while left:
        each = left.pop()
        told = tongue.at({"usage": each}) if tongue.mark in each else None
        if told is not None:
            found.append(told)
        left += [inner for name, inner in each.items() if type(inner) is dict and name not in _NOT_COUNTED]
    return found
