"""What an ended inference leaves behind, in one transaction: its response, its ledger row, and the sums that both move.

    Settlement --finish of its retry key, end of its item--> fenced: nothing is written
                                       '--> responses with names of items, ledger, balances, budgets, usage by hour, webhooks

All of a group are written together, so that a group of many costs little more than one. The ledger's unique billable
id is the last word on billing once. An organization that was deleted while its answers were on their way is charged for
them, and keeps no content: a deletion and a settlement take the organization's name as a lock, so that each knows of the
other. Decides nothing about prices: amounts come reckoned.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, bindparam, select

from ingot.dialects import fold, messages_fold, responses_fold
from ingot.store.balances import Charge, charge
from ingot.store.bulk import add_rows, insert_rows
from ingot.store.conclusions import clear_up, conclude_all
from ingot.store.holds import Part
from ingot.store.idempotency import Lead, erase, finish
from ingot.store.marks import Marked, keep_marks
from ingot.store.names import Told, name_items
from ingot.store.orders import Hook
from ingot.store.queue import Claim
from ingot.store.schema import (
    ledger,
    organizations,
    response_losses,
    response_metadata,
    responses,
    usage_hours,
)
from ingot.store.turns import Turn, append_turn
from ingot.store.webhooks import post_results

HOUR = 3_600_000_000

_FOLDS = {"messages": messages_fold.assemble, "responses": responses_fold.assemble}
"""What makes one answer of a stream, by surface, where it is not OpenAI's."""


class Settlement(Struct, frozen=True, kw_only=True, gc=False):
    """One ended inference; instants in microseconds, money in units of 1e-12 USD."""

    id: str
    public_id: str
    org_id: str
    key_id: str
    surface: str
    model: str
    target: str
    status: int
    state: str
    """completed, failed or cancelled."""
    window: str
    fidelity: str
    created_at: int
    finished_at: int
    request_id: str
    billable: bool = True
    """Whether it gets a ledger row: an answer, or a part of one, was given."""
    error: str | None = None
    streamed: bool = False
    first_token_us: int | None = None
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    amount: int = 0
    """What it cost, above zero."""
    price: str | None = None
    request: bytes | None = None
    answer: bytes | None = None
    metadata: dict[str, str] | None = None
    expires_at: int | None = None
    losses: str | None = None
    """What its translation left out, as a JSON array; kept with its content, and for its retries."""
    prepaid: bool = False
    reserved: int = 0
    """What was reserved for it, and from where."""
    parts: tuple[Part, ...] = ()
    lead: Lead | None = None
    """The idempotency key whose outcome this is; with it, `content_type` and `given` are what a retry gets."""
    content_type: str = ""
    given: bytes | None = None
    turn: Turn | None = None
    """What it adds to the conversation that it belongs to."""
    marks: tuple[str, ...] = ()
    """Of what its target sealed, so that its maker is known."""
    claim: Claim | None = None
    """Its lease, where it waited in the queue; with it, the window that it kept, and for how long it waited."""
    achieved: str | None = None
    queued_us: int = 0
    hook: Hook | None = None
    """Whom to call now that it is done."""


_RESPONSE = (
    "id", "public_id", "org_id", "key_id", "surface", "model", "target", "status", "state", "error", "streamed",
    "fidelity", "window", "created_at", "finished_at", "first_token_us", "input_tokens", "cached_tokens",
    "output_tokens", "reasoning_tokens", "amount", "kept", "request", "answer", "metadata", "request_id", "expires_at",
)  # fmt: skip
_ANSWER = _RESPONSE.index("answer")
_LEDGER = (
    "billable_id", "org_id", "key_id", "kind", "amount", "at", "model", "window", "input_tokens", "cached_tokens",
    "cache_write_tokens", "output_tokens", "reasoning_tokens", "price", "estimated",
)  # fmt: skip
_USAGE_KEY = ("org_id", "hour", "key_id", "model", "window")
_USAGE_SUMS = ("requests", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "amount")
# The sums are written for whatever is billed: what they tell of the organization costs no statement of its own.
_GONE = "(SELECT o.id FROM organizations AS o WHERE o.id = usage_hours.org_id AND o.deleted_at IS NOT NULL)"
_FIND_GONE = select(organizations.c.id).where(
    organizations.c.id.in_(bindparam("ids", expanding=True)), organizations.c.deleted_at.is_not(None)
)


def settle(conn: Connection, entries: Sequence[Settlement], *, node: str = "") -> set[str]:
    """Writes all of them but those whose key or job another has by now; returns the ids of these. Whoever calls commits.

    `node` is the process that settles: sums that no organization owns are kept by it.

    On PostgreSQL the caller holds the names of their organizations as locks (`Database.write`).
    """
    fenced = {each.id for each in entries if each.lead is not None and not _finish(conn, each, each.lead)}
    late, over = conclude_all(conn, entries)
    fenced |= late
    if fenced:
        entries = [each for each in entries if each.id not in fenced]
    billed = [each for each in entries if each.billable]
    gone = _gone(conn, entries, _add_usage(conn, billed))
    if gone:
        entries = _without_content(conn, entries, gone)
    rows = [_response(each) for each in entries]
    insert_rows(conn, responses, _RESPONSE, rows)
    name_items(conn, _told(entries, rows))
    keep_marks(conn, [Marked(each.org_id, each.id, each.marks) for each in entries if each.marks])
    pairs = [
        (each.org_id, name, value, each.id)
        for each in entries
        if each.metadata
        for name, value in each.metadata.items()
    ]
    insert_rows(conn, response_metadata, ("org_id", "name", "value", "response_id"), pairs)
    lost = [(each.id, each.org_id, each.losses) for each in entries if each.losses]
    insert_rows(conn, response_losses, ("response_id", "org_id", "losses"), lost)
    insert_rows(conn, ledger, _LEDGER, [_ledger(each) for each in billed])
    charge(conn, [_charge(each) for each in billed])
    for each in entries:
        if each.turn is not None:
            append_turn(conn, each.org_id, each.turn, maker=each.target)
    clear_up(conn, entries, over, node=node)
    post_results(conn, entries, [row[_ANSWER] for row in rows], but=gone)
    return fenced


def _add_usage(conn: Connection, billed: Sequence[Settlement]) -> set[str]:
    """Adds to the hourly sums; the organizations among them that were deleted."""
    columns = _USAGE_KEY + _USAGE_SUMS
    found = add_rows(conn, usage_hours, columns, _usage(billed), sums=_USAGE_SUMS, told=_GONE)
    return {org_id for org_id in found if org_id is not None}


def _gone(conn: Connection, entries: Sequence[Settlement], known: set[str]) -> set[str]:
    """The deleted organizations among those of the entries; `known` are those of the billed ones."""
    asked = {
        each.org_id
        for each in entries
        if not each.billable and (each.request is not None or each.lead is not None or each.turn is not None)
    }
    asked -= {each.org_id for each in entries if each.billable}
    return known | set(conn.execute(_FIND_GONE, {"ids": sorted(asked)}).scalars()) if asked else known


def _without_content(conn: Connection, entries: Sequence[Settlement], gone: set[str]) -> Sequence[Settlement]:
    for org_id in {each.org_id for each in entries if each.lead is not None} & gone:
        erase(conn, org_id)  # the answers that were kept for retries, a moment ago
    bare = {
        "request": None, "answer": None, "metadata": None, "losses": None, "expires_at": None, "turn": None,
        "marks": (), "hook": None,
    }  # fmt: skip
    return [replace(each, **bare) if each.org_id in gone else each for each in entries]


def _finish(conn: Connection, each: Settlement, lead: Lead) -> bool:
    return finish(
        conn,
        lead,
        status=each.status,
        content_type=each.content_type,
        answer=each.given or b"",
        now=each.finished_at,
    )


def _response(each: Settlement) -> tuple[Any, ...]:
    return (
        each.id,
        each.public_id,
        each.org_id,
        each.key_id,
        each.surface,
        each.model,
        each.target,
        each.status,
        each.state,
        each.error,
        int(each.streamed),
        each.fidelity,
        each.window,
        each.created_at,
        each.finished_at,
        each.first_token_us,
        each.input_tokens,
        each.cached_tokens,
        each.output_tokens,
        each.reasoning_tokens,
        each.amount,
        int(each.request is not None),
        each.request,
        _whole(each),
        msgspec.json.encode(each.metadata).decode() if each.metadata else None,
        each.request_id,
        each.expires_at,
    )


def _told(entries: Sequence[Settlement], rows: Sequence[tuple[Any, ...]]) -> Iterator[Told]:
    """Those that items are found of by their ids, with the answers of their rows."""
    for each, row in zip(entries, rows, strict=True):
        if each.surface == "responses" and each.request is not None and each.answer is not None:
            yield Told(each.org_id, each.id, each.request, row[_ANSWER])


def _whole(each: Settlement) -> bytes | None:
    """The answer as it is kept: a stream as the whole answer that it spells out, where it is one."""
    # A response says itself whether it is whole, and can be read as far as it came.
    if (
        each.answer is None
        or not each.streamed
        or (each.state != "completed" and each.surface != "responses")
    ):
        return each.answer
    try:
        return _FOLDS.get(each.surface, fold.assemble)(each.answer)
    except fold.Unfoldable:
        return each.answer


def _ledger(each: Settlement) -> tuple[Any, ...]:
    return (
        each.id,
        each.org_id,
        each.key_id,
        "inference",
        -each.amount,
        each.finished_at,
        each.model,
        each.window,
        each.input_tokens,
        each.cached_tokens,
        each.cache_write_tokens,
        each.output_tokens,
        each.reasoning_tokens,
        each.price,
        int(each.estimated),
    )


def _charge(each: Settlement) -> Charge:
    return Charge(
        billable_id=each.id,
        org_id=each.org_id,
        key_id=each.key_id,
        amount=each.amount,
        at=each.finished_at,
        prepaid=each.prepaid,
        reserved=each.reserved,
        parts=each.parts,
    )


def _usage(billed: Sequence[Settlement]) -> list[tuple[Any, ...]]:
    sums: dict[tuple[Any, ...], list[int]] = {}
    for each in billed:
        key = (each.org_id, each.finished_at // HOUR, each.key_id, each.model, each.window)
        known = sums.get(key)
        if known is None:
            known = sums[key] = [0] * len(_USAGE_SUMS)
        known[0] += 1
        known[1] += each.input_tokens
        known[2] += each.cached_tokens
        known[3] += each.output_tokens
        known[4] += each.reasoning_tokens
        known[5] += each.amount
    return [(*key, *figures) for key, figures in sorted(sums.items())]
