"""How money but that of calls moves: one ledger row, the balance by it, and an audit row, in one transaction.

Whoever writes a row locks the organization's money first (`locked`) and records it under that lock (`record`), so
that what was checked still holds. Decides that a prepaid balance never goes below what is reserved of it.
"""

from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection

from ingot.errors import InvalidRequest, NotFound
from ingot.pricing import LARGEST, usd
from ingot.store.audit import note
from ingot.store.balances import Standing, add, locked_standing
from ingot.store.holds import Account, collect
from ingot.store.instants import shared_now
from ingot.store.ledger import Entry, add_entry

MOST: Final = LARGEST
"""A million USD in one row: more is a slip of the hand. What a balance comes to has its own bound, in `add`."""


class Reserved(Exception):
    """A prepaid balance has less that nobody holds than was to be taken; processes hold money in advance, too.

    Whoever records what takes money away tells a client `message` as a Conflict, once nothing is held in advance.
    """

    def __init__(self, message: str, *, org_id: str) -> None:
        super().__init__(message)
        self.message = message
        self.org_id = org_id


@dataclass(frozen=True, slots=True)
class Receipt:
    """A row that was written, or found where the same was asked before, and the balance after it."""

    entry: Entry
    standing: Standing
    repeated: bool = False


def record(conn: Connection, entry: Entry, *, before: Standing, actor: str, action: str) -> Receipt:
    """Writes a row, moves the balance by it, and notes who did. Raises Conflict; where it takes money away Reserved."""
    if entry.amount < 0 and before.prepaid and before.available + entry.amount < 0:
        freed = collect(conn, Account(entry.org_id), now=shared_now(conn, entry.at))
        before = replace(before, held=before.held - freed)
    if entry.amount < 0 and before.prepaid and before.available + entry.amount < 0:
        raise Reserved(
            f"The organization has {usd(max(0, before.available))} USD that are neither reserved by running requests nor "
            f"set aside for those that may come, less than {usd(-entry.amount)} USD; a prepaid balance does not go below "
            "zero. Where nothing runs, what is set aside is free again within five seconds.",
            org_id=entry.org_id,
        )
    add(conn, entry.org_id, amount=entry.amount)
    add_entry(conn, entry)
    note(
        conn,
        org_id=entry.org_id,
        actor=actor,
        action=action,
        subject=entry.billable_id,
        detail={"amount": usd(entry.amount), "refers_to": entry.refers_to, "note": entry.note},
        at=entry.at,
    )
    return Receipt(entry, replace(before, balance=before.balance + entry.amount))


def locked(conn: Connection, org_id: str) -> Standing:
    """How an organization stands, while nobody else moves its money; raises NotFound."""
    found = locked_standing(conn, org_id)
    if found is None:
        raise no_such_organization(org_id)
    return found


def no_such_organization(org_id: str) -> NotFound:
    """The error for an id that is no organization's, or a deleted one's."""
    return NotFound(f"There is no organization {org_id!r}.")


def note_text(text: str | None) -> str | None:
    """A note as it is kept; raises InvalidRequest."""
    kept = None if text is None else text.strip()
    if kept and (len(kept) > 500 or not kept.isprintable()):
        raise InvalidRequest("A note has at most 500 printable characters.", param="note")
    return kept or None
