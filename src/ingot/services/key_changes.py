"""What happens to keys in the database: functions over a connection, each one change with its row in the audit log.

    issued --roll--> replaced, valid for 24 h more, in the place of its successor --> expired
       |                |
       +----revoke------+--> revoked         ending a key ends what it replaced, too: they are one place

Every function first locks the organization, so that changes of its keys come one after the other, whichever process
makes them. The number of keys is kept by `store.slots`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from ingot.config import nearest, suggestion
from ingot.errors import Conflict, Forbidden, InvalidRequest, NotFound
from ingot.pricing import usd
from ingot.rawjson import clip
from ingot.services.bootstrap import VARIABLE, place_bootstrap
from ingot.services.grants import read_models
from ingot.store import audit, slots
from ingot.store import keys as store
from ingot.store.audit import Detail
from ingot.store.budgets import Budget, open_budget
from ingot.store.keys import KeyRow
from ingot.store.plans import Membership, lock_org
from ingot.store.schema import micros, moment

OVERLAP_SECONDS = 24 * 3600

SERVER = "server"
"""The actor of what the server does by itself."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key that is to be made, with the budget that caps it; `known` are the server's models, None where nobody knows."""

    row: KeyRow
    budget: Budget | None = None
    known: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """A key after a change, the most that it may ever spend, and the ids of all keys that ended with the change."""

    row: KeyRow
    cap: int | None
    ended: tuple[str, ...]


def issue(conn: Connection, *, wanted: Wanted, limit: int | None, actor: str) -> KeyRow:
    """Adds a key; `limit` is the preset's. Raises InvalidRequest, NotFound or Forbidden."""
    row, budget = wanted.row, wanted.budget
    membership = _lock(conn, row.org_id)
    _check_models(membership, row, known=wanted.known)
    if row.user_id is not None:
        row = replace(row, user_id=_holder(conn, row.org_id, who=row.user_id))
    _take_place(conn, membership, key_id=row.id, limit=limit, at=row.created_at)
    store.insert_key(conn, row)
    if budget is not None:
        open_budget(conn, row.org_id, budget=budget, at=row.created_at)
    told: dict[str, str | int | None] = {
        "kid": row.kid,
        "name": row.name,
        "scope": row.scope,
        "user_id": row.user_id,
        "models": row.models,
        "rpm": row.rpm,
        "tpm": row.tpm,
        "expires_at": row.expires_at,
        "cap": None if budget is None else usd(budget.cap),
    }
    detail = {name: value for name, value in told.items() if value is not None}
    _note(conn, row, action="key.create", actor=actor, detail=detail, at=row.created_at)
    return row


def issue_first(conn: Connection, *, wanted: Wanted, limit: int | None) -> bool:
    """Adds a key where none was ever made; whether it did."""
    _lock(conn, wanted.row.org_id)  # before the look: two processes may start at once
    if store.any_key(conn):
        return False
    issue(conn, wanted=wanted, limit=limit, actor=SERVER)
    return True


def place(conn: Connection, *, row: KeyRow) -> None:
    """Puts the bootstrap key in force; raises Conflict."""
    _lock(conn, row.org_id)
    if place_bootstrap(conn, row):
        detail = {"kid": row.kid, "name": row.name}
        _note(conn, row, action="key.create", actor=SERVER, detail=detail, at=row.created_at)


def roll(conn: Connection, *, org_id: str, which: str, new: KeyRow, force: bool, actor: str) -> Changed:
    """Puts a successor with the secret of `new` in the place of a key; raises NotFound or Conflict."""
    _lock(conn, org_id)
    at = new.created_at
    old = choose(store.keys_named(conn, org_id, which=which), which)
    _check_rollable(old, at=at)
    waiting = [row for row in store.predecessors(conn, org_id, key_id=old.id) if row.live(at)]
    if waiting and not force:
        raise Conflict(
            f"The key {old.name!r} was rolled less than 24 h ago: the one before it, {waiting[0].kid}, is valid until "
            f"{moment(waiting[0].expires_at or at)}. Wait, or force it, which ends that one now."
        )
    for row in waiting:
        store.revoke_key(conn, org_id, key_id=row.id, at=at)
    successor = replace(
        old,
        id=new.id,
        kid=new.kid,
        digest=new.digest,
        pepper=new.pepper,
        last4=new.last4,
        created_at=at,
        last_used_at=None,
    )
    store.insert_key(conn, successor)
    until = at + micros(OVERLAP_SECONDS)
    until = until if old.expires_at is None else min(until, old.expires_at)
    store.supersede_key(conn, org_id, key_id=old.id, by=successor.id, until=until)
    slots.hand_over_slot(conn, org_id, key_id=old.id, to=successor.id)
    detail: Detail = {
        "replaced_by": successor.id,
        "kid": successor.kid,
        "valid_until": until,
        "forced": bool(waiting),
    }
    _note(conn, old, action="key.roll", actor=actor, detail=detail, at=at)
    return _changed(conn, successor, ended=waiting)


def revoke(conn: Connection, *, org_id: str, which: str, at: int, actor: str) -> Changed:
    """Ends a key and what it replaced, and frees their place; raises NotFound or Conflict."""
    _lock(conn, org_id)
    row = choose(store.keys_named(conn, org_id, which=which), which)
    ended = [row] if row.revoked_at is None else []
    ended += [each for each in store.predecessors(conn, org_id, key_id=row.id) if each.live(at)]
    for each in ended:
        store.revoke_key(conn, org_id, key_id=each.id, at=at)
        slots.free_slot(conn, org_id, key_id=each.id)
        _note(
            conn, each, action="key.revoke", actor=actor, detail={"kid": each.kid, "name": each.name}, at=at
        )
    return _changed(conn, row if row.revoked_at is not None else replace(row, revoked_at=at), ended=ended)


def _lock(conn: Connection, org_id: str) -> Membership:
    """The organization, whose keys nobody else changes meanwhile."""
    membership = lock_org(conn, org_id)
    if membership is None or membership.deleted_at is not None:
        raise NotFound(f"There is no organization with the id {org_id!r}.", param="org_id")
    return membership


def _take_place(conn: Connection, membership: Membership, *, key_id: str, limit: int | None, at: int) -> None:
    plan = membership.plan
    numbers = [number for number in (plan.keys, limit) if number is not None]
    if numbers and not slots.take_slot(conn, membership.org_id, key_id=key_id, limit=min(numbers), at=at):
        raise Forbidden(
            f"This organization has as many keys as it may have: {min(numbers)}. Revoke one that is no longer needed, "
            f"roll one, or move to a plan with more keys than `{plan.name}`.",
            code="key_limit_reached",
        )


def _check_models(membership: Membership, row: KeyRow, *, known: frozenset[str] | None) -> None:
    allowed, wanted = read_models(membership.plan.models), read_models(row.models)
    if wanted is None:
        return
    beyond = sorted(wanted - allowed) if allowed is not None else []
    if beyond:
        # Told as one thing, whether the server has such models or not: what is not in the plan is nobody's to know of.
        near = suggestion(beyond[0], _both(allowed, known)) or "."
        raise InvalidRequest(
            f"The plan `{membership.plan.name}` does not include {', '.join(map(clip, beyond[:5]))}{near} Name models of "
            f"the plan, or leave the list out to allow all of them.",
            param="models",
        )
    unknown = sorted(wanted - known) if known is not None else []
    if unknown:
        near = nearest(unknown[0], _both(allowed, known)) or "; none is configured"
        raise InvalidRequest(
            f"There is no model `{clip(unknown[0])}`{near}{'' if near.endswith('?') else '.'} Name models that there are, "
            f"or leave the list out to allow all of them.",
            param="models",
        )


def _both(*lists: frozenset[str] | None) -> frozenset[str]:
    """What is in all lists that there are."""
    return frozenset.intersection(*(each for each in lists if each is not None))


def _holder(conn: Connection, org_id: str, *, who: str) -> str:
    """The id of the member that a key is made for; raises NotFound or Forbidden."""
    holder = store.holder(conn, org_id, who=who)
    if holder is None:
        raise NotFound(
            f"The organization has no member {who!r}. Name one by id or e-mail address.", param="user"
        )
    if holder.disabled:
        raise Forbidden("This account is disabled. Ask the operator to enable it.")
    if not holder.verified:
        raise Forbidden(
            "The e-mail address of this account is not verified yet. Follow the link in the mail that came with the "
            "sign-up, or ask for a new one; keys can be made after that.",
            code="email_unverified",
        )
    return holder.user_id


def _check_rollable(row: KeyRow, *, at: int) -> None:
    if row.source == "bootstrap":
        raise Conflict(
            f"The bootstrap key is what {VARIABLE} says. Change it there and start the server again."
        )
    if row.replaced_by is not None:
        raise Conflict(f"The key {row.kid} was rolled already. Roll its successor, {row.replaced_by}.")
    if not row.live(at):
        raise Conflict(f"The key {row.kid} has ended. Create a new one.")


def choose(found: list[KeyRow], which: str) -> KeyRow:
    """The one key that is meant: a live one before ended ones, a successor before the one it replaces."""
    if not found:
        raise NotFound("There is no key with this id, kid or name. The list of keys shows them all.")
    if len(found) == 1:
        return found[0]
    live = [row for row in found if row.revoked_at is None]
    current = [row for row in live if row.replaced_by not in {each.id for each in live}]
    if len(current) > 1:
        raise Conflict(
            f"{len(current)} keys are named {which!r}. Name the one you mean by its kid: "
            f"{', '.join(row.kid for row in current)}."
        )
    return current[0] if current else found[-1]


def _note(conn: Connection, row: KeyRow, *, action: str, actor: str, detail: Detail, at: int) -> None:
    audit.note(conn, row.org_id, actor=actor, action=action, subject=row.id, detail=detail, at=at)


def _changed(conn: Connection, row: KeyRow, *, ended: Sequence[KeyRow]) -> Changed:
    return Changed(row, store.key_caps(conn, row.org_id).get(row.id), tuple(each.id for each in ended))
