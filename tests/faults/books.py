"""What the database and the scripted upstream know of a run, as events of its history.

They are there anyway, so that no server writes a log for the tests: responses, ledger rows and items that still wait, read past
our own code; and the upstream's log of requests, with the tokens that each of its answers used. Decides which row belongs to
which operation; refuses to judge.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from databases import Place
from faults.history import Event, foreign_bytes, now, operation_in
from upstream_answers import choices_of, usage
from upstream_log import Record

# A request id is `operation.try`, in the database as at the upstream.
_SETTLED = """
    SELECT r.request_id, r.id, r.org_id, r.state, r.answer, l.input_tokens, l.output_tokens, l.estimated,
           (SELECT count(*) FROM ledger AS b WHERE b.billable_id = r.id AND b.kind = 'inference')
    FROM responses AS r LEFT JOIN ledger AS l ON l.billable_id = r.id AND l.kind = 'inference'
    WHERE r.request_id LIKE '{run}l%'
"""
_ORPHANS = """
    SELECT l.billable_id FROM ledger AS l LEFT JOIN responses AS r ON r.id = l.billable_id
    WHERE l.kind = 'inference' AND r.id IS NULL
"""
_WAITING = "SELECT request_id, id FROM items WHERE request_id LIKE '{run}l%'"


def settled(place: Place, run: str, *, tenants: Mapping[str, str]) -> Iterator[Event]:
    """What the database says of a run's operations; `tenants` has their names by the ids of organizations."""
    for request_id, which, org_id, state, answer, given, made, estimated, bills in place.run(
        _SETTLED.format(run=run)
    ):
        op, tenant = str(request_id).partition(".")[0], tenants.get(org_id, org_id)
        data = bytes(answer or b"")
        yield Event(
            at=now(),
            what="settle",
            op=op,
            tenant=tenant,
            run=which,
            state=state,
            text=_text(data) if state == "completed" else None,
            input=given or 0,
            output=made or 0,
            bills=bills,
            estimated=bool(estimated),
            foreign=foreign_bytes(data, tenant=tenant, op=op),
        )
    for (which,) in place.run(_ORPHANS):
        yield Event(at=now(), what="settle", op=f"orphan {which}", run=which, state="completed", bills=1)
    for request_id, which in place.run(_WAITING.format(run=run)):
        yield Event(at=now(), what="waiting", op=str(request_id).partition(".")[0], run=which)


def executed(log: Iterable[Record]) -> Iterator[Event]:
    """What the upstream's log says of the operations whose canaries it saw."""
    for record in log:
        found = operation_in(record.body)
        if found is None:
            continue
        tenant, op = found
        yield Event(at=record.started, what="exec_start", op=op, tenant=tenant, run=str(record.id))
        ended = record.finished if record.aborted is None else record.aborted
        if ended is not None:
            yield _ended(record, ended, op=op, tenant=tenant)


def _ended(record: Record, at: float, *, op: str, tenant: str) -> Event:
    answered = record.status == 200 and isinstance(record.json, dict)
    choices = choices_of(record.json, step=record.step) if answered else []
    used = usage(record.json, choices) if answered else {}
    return Event(
        at=at,
        what="exec_end",
        op=op,
        tenant=tenant,
        run=str(record.id),
        input=used.get("prompt_tokens", 0),
        output=used.get("completion_tokens", 0),
        characters=sum(len(choice.text or "") for choice in choices),
        whole=answered and record.aborted is None,
    )


def _text(answer: bytes) -> str | None:
    """What a stored chat completion says; None where none is kept."""
    if not answer:
        return None
    told: Any = json.loads(answer)
    return str(told["choices"][0]["message"]["content"])
