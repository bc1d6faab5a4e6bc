"""What the database and the scripted upstream know of a run, as events of its history.

They are there anyway, so that no server writes a log for the tests: responses, ledger rows and items that still wait, read past
our own code; and the upstream's log of requests, with the tokens that each of its answers used. Requests of batches have
request ids of the server's own, and are found by the names that their clients gave them. Decides which row belongs to which
operation; refuses to judge.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from databases import Place
from faults.checker import OUTCOMES
from faults.history import Event, batch_of, foreign_bytes, now, operation_in
from receiver import Post
from upstream_answers import choices_of, usage
from upstream_log import Record

# A request id is `operation.try`, in the database as at the upstream.
_SETTLED = """
    SELECT r.request_id, r.id, r.org_id, r.state, r.answer, l.input_tokens, l.output_tokens, l.estimated,
           (SELECT count(*) FROM ledger AS b WHERE b.billable_id = r.id AND b.kind = 'inference')
    FROM responses AS r LEFT JOIN ledger AS l ON l.billable_id = r.id AND l.kind = 'inference'
    WHERE r.request_id LIKE '{run}l%'
"""
# Where a request of a batch ended without an answer, its line says how.
_LISTED = """
    SELECT n.custom_id, n.response_id, b.org_id, COALESCE(n.outcome, r.state), r.answer, l.input_tokens, l.output_tokens,
           l.estimated,
           (SELECT count(*) FROM ledger AS x WHERE x.billable_id = n.response_id AND x.kind = 'inference'), n.batch_id
    FROM batch_lines AS n JOIN batches AS b ON b.id = n.batch_id
    LEFT JOIN responses AS r ON r.id = n.response_id
    LEFT JOIN ledger AS l ON l.billable_id = n.response_id AND l.kind = 'inference'
    WHERE n.custom_id LIKE '{run}l%' AND COALESCE(n.outcome, r.state) IS NOT NULL
"""
_BATCHES = """
    SELECT b.id, min(n.custom_id), b.org_id, b.state, b.total, b.completed, b.failed, b.cancelled, b.expired
    FROM batches AS b JOIN batch_lines AS n ON n.batch_id = b.id WHERE n.custom_id LIKE '{run}l%'
    GROUP BY b.id, b.org_id, b.state, b.total, b.completed, b.failed, b.cancelled, b.expired
"""
_EVENTS = """
    SELECT e.id, r.request_id FROM webhook_events AS e JOIN responses AS r ON r.id = e.object_id
    WHERE r.request_id LIKE '{run}l%'
"""
_ORPHANS = """
    SELECT l.billable_id FROM ledger AS l LEFT JOIN responses AS r ON r.id = l.billable_id
    WHERE l.kind = 'inference' AND r.id IS NULL
"""
_WAITING = """
    SELECT COALESCE(n.custom_id, i.request_id), i.id FROM items AS i LEFT JOIN batch_lines AS n ON n.response_id = i.id
    WHERE i.request_id LIKE '{run}l%' OR n.custom_id LIKE '{run}l%'
"""


def settled(place: Place, run: str, *, tenants: Mapping[str, str]) -> Iterator[Event]:
    """What the database says of a run's operations; `tenants` has their names by the ids of organizations."""
    alone = [(*row, "") for row in place.run(_SETTLED.format(run=run))]
    for name, which, org_id, state, answer, given, made, estimated, bills, batch in (
        *alone,
        *place.run(_LISTED.format(run=run)),
    ):
        op, tenant = str(name).partition(".")[0], tenants.get(org_id, org_id)
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
            batch=batch,
        )
    for which, name, org_id, state, total, *ended in place.run(_BATCHES.format(run=run)):
        counts = {**dict(zip(OUTCOMES, ended, strict=True)), "total": total}
        tenant = tenants.get(org_id, org_id)
        yield Event(
            at=now(), what="kept", op=batch_of(name), tenant=tenant, run=which, state=state, counts=counts
        )
    for (which,) in place.run(_ORPHANS):
        yield Event(at=now(), what="settle", op=f"orphan {which}", run=which, state="completed", bills=1)
    for request_id, which in place.run(_WAITING.format(run=run)):
        yield Event(at=now(), what="waiting", op=str(request_id).partition(".")[0], run=which)


def told(place: Place, run: str, posts: Iterable[Post]) -> Iterator[Event]:
    """Which events a run's operations had, and which of them a receiver has taken, with the bytes that were not for it."""
    ops = {name: str(asked).partition(".")[0] for name, asked in place.run(_EVENTS.format(run=run))}
    for name, op in ops.items():
        yield Event(at=now(), what="event_sent", op=op, run=name)
    for post in posts:
        tenant, op = operation_in(post.body) or ("", ops.get(post.id, f"nobody's {post.id}"))
        yield Event(at=now(), what="event_acked", op=ops.get(post.id, op), run=post.id)
        foreign = foreign_bytes(post.body, tenant=tenant, op=ops.get(post.id, ""))
        if foreign:
            yield Event(at=now(), what="read", op=op, tenant=tenant, foreign=foreign)


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
    """What a stored chat completion, or a message, says; None where none is kept."""
    if not answer:
        return None
    told: Any = json.loads(answer)
    if told.get("type") == "message":
        return str(told["content"][0]["text"])
    return str(told["choices"][0]["message"]["content"])
