"""Plans: what organizations may use and what it costs them, as rows that an operator makes, edits and archives.

    created --edit--> edited, at once for all who are on it          archived: who is on it stays, nobody new comes

A change counts for running requests once their keys are looked up again, 5 s later at most. Money is in 1e-12 USD,
price factors in parts per million. Decides nothing about who may ask for it; every change is in the audit log.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from msgspec import UNSET, Struct, UnsetType, structs
from sqlalchemy import Connection

from ingot import ids
from ingot.clock import Clock
from ingot.errors import Conflict, InvalidRequest, NotFound
from ingot.presets.preset import Plan
from ingot.pricing import LARGEST, decimal_text, usd
from ingot.services.grants import PAR, read_models, write_models
from ingot.services.keeping import Keep, keep_nothing, kept
from ingot.store import audit
from ingot.store import plans as store
from ingot.store.audit import Detail
from ingot.store.database import Database
from ingot.store.plans import PlanRow
from ingot.store.schema import micros, seconds, seconds_or_none
from ingot.store.steps.organizations import PLAN_ROWS

MOST = 2**53
"""The largest integer that all readers of JSON agree on."""
MODELS = 1_000
WEIGHTS = 1_000
FACTOR_PLACES = 6

Told = str | int | bool | None

ADOPTER = "server"
"""Whom the audit log names for what a start did."""

_FACTOR = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,6})0*)?")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
RANGES = {
    "rpm": (1, MOST),
    "tpm": (1, MOST),
    "concurrency": (1, MOST),
    "keys": (0, 100_000),
    "price_factor": (0, 1_000 * PAR),
    "weight": (1, WEIGHTS),
    "monthly_credits": (0, LARGEST),
    "monthly_price": (0, LARGEST),
}


class PlanFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a plan says; what is left out stays as it is, None is no limit."""

    rpm: int | UnsetType | None = UNSET
    tpm: int | UnsetType | None = UNSET
    concurrency: int | UnsetType | None = UNSET
    keys: int | UnsetType | None = UNSET
    models: tuple[str, ...] | UnsetType | None = UNSET
    price_factor: int | UnsetType = UNSET
    weight: int | UnsetType = UNSET
    monthly_credits: int | UnsetType = UNSET
    monthly_price: int | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class PlanInfo:
    """A plan as it is told; None is no limit, money in USD, the factor a decimal, instants in seconds."""

    id: str
    name: str
    rpm: int | None
    tpm: int | None
    concurrency: int | None
    keys: int | None
    models: list[str] | None
    price_factor: str
    weight: int
    monthly_credits: str
    monthly_price: str
    created_at: int
    archived_at: int | None


def parse_factor(text: str) -> int:
    """Parts per million for a price factor as people write it, `0.8`; ValueError unless it is exact."""
    match = _FACTOR.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a factor with up to 6 decimals, as 0.8")
    return int(match[1]) * PAR + int((match[2] or "").ljust(FACTOR_PLACES, "0"))


class Plans:
    """The plans of one database."""

    def __init__(self, db: Database, *, clock: Clock, new_id: ids.NewId = ids.new_id) -> None:
        self._db = db
        self._clock = clock
        self._new_id = new_id

    async def list(self) -> list[PlanInfo]:
        """All plans by name, archived ones included."""
        return [_info(row) for row in await self._db.read(store.list_plans)]

    async def get(self, which: str) -> PlanInfo:
        """The plan with this name or id; raises NotFound."""
        return _info(await self._db.read(partial(_find, which=which)))

    async def of(self, org_id: str) -> PlanInfo:
        """The plan that an organization is on; raises NotFound."""
        return _info(await self._db.read(partial(_of, org_id=org_id)))

    async def create(
        self, name: str, wanted: PlanFields, *, actor: str, keep: Keep[PlanInfo] = keep_nothing
    ) -> PlanInfo:
        """A new plan, without limits but for those given; raises InvalidRequest, or Conflict where it is there."""
        if _NAME.fullmatch(name) is None:
            raise InvalidRequest(
                "A plan's name begins with a lower-case letter and has up to 63 letters, digits and hyphens.",
                param="name",
            )
        row = PlanRow(
            id=self._new_id("plan"),
            name=name,
            rpm=None,
            tpm=None,
            concurrency=None,
            keys=None,
            models=None,
            price_factor=PAR,
            weight=1,
            monthly_credits=0,
            monthly_price=0,
            created_at=self._now(),
        )
        row = _apply(row, wanted)

        def work(conn: Connection) -> PlanInfo:
            _create(conn, row=row, actor=actor)
            return _info(row)

        return await self._db.write(kept(work, keep))

    async def edit(self, which: str, wanted: PlanFields, *, actor: str) -> PlanInfo:
        """Changes a plan for all who are on it; raises NotFound or InvalidRequest."""
        return _info(
            await self._db.write(partial(_edit, which=which, wanted=wanted, actor=actor, at=self._now()))
        )

    async def archive(self, which: str, *, actor: str) -> PlanInfo:
        """Lets nobody new on a plan; again is no error. Raises NotFound."""
        return _info(await self._db.write(partial(_archive, which=which, actor=actor, at=self._now())))

    async def assign(self, org_id: str, which: str, *, actor: str) -> PlanInfo:
        """Puts an organization on a plan; its keys beyond the new plan's number stay, and no new ones are made.

        Raises NotFound, or Conflict for an archived plan.
        """
        return _info(
            await self._db.write(
                partial(_assign, org_id=org_id, which=which, actor=actor, at=self._now()),
            )
        )

    async def adopt(self, wanted: Mapping[str, Plan]) -> Sequence[str]:
        """Gives plans that are still as they ship the figures of a preset; the names of those that changed.

        Whoever has changed a plan keeps it, and so does a store that began with another preset.
        """
        if not await self._db.read(partial(_untouched, wanted=wanted)):
            return ()
        return await self._db.write(partial(_adopt, wanted=wanted, at=self._now()))

    def _now(self) -> int:
        return micros(self._clock.now())


def _untouched(conn: Connection, *, wanted: Mapping[str, Plan]) -> list[tuple[PlanRow, PlanRow]]:
    """Plans as they ship that a preset has otherwise, before and after."""
    pairs = [
        (row, _as_preset(row, wanted[row.name]))
        for row in store.list_plans(conn)
        if row.name in wanted and replace(row, created_at=0) == _SHIPPED.get(row.id)
    ]
    return [(before, after) for before, after in pairs if before != after]


def _adopt(conn: Connection, *, wanted: Mapping[str, Plan], at: int) -> Sequence[str]:
    for row, _ in _untouched(conn, wanted=wanted):
        store.lock_plan(conn, row.id)
    pairs = _untouched(conn, wanted=wanted)  # again: somebody may have changed one before the lock
    for before, after in pairs:
        store.update_plan(conn, after)
        _note(conn, after, action="plan.edit", actor=ADOPTER, detail=_changes(before, after), at=at)
    return tuple(after.name for _, after in pairs)


def _as_preset(row: PlanRow, plan: Plan) -> PlanRow:
    return replace(
        row,
        rpm=plan.rpm,
        tpm=plan.tpm,
        concurrency=plan.concurrency,
        keys=plan.keys,
        models=write_models(plan.models),
        price_factor=plan.price_factor,
        weight=plan.weight,
        monthly_credits=plan.monthly_credits,
        monthly_price=plan.monthly_price,
    )


def _shipped(row: Mapping[str, Any]) -> PlanRow:
    usual = {"models": None, "price_factor": PAR, "monthly_credits": 0, "monthly_price": 0, "created_at": 0}
    return PlanRow(**(usual | dict(row)))


_SHIPPED = {str(row["id"]): _shipped(row) for row in PLAN_ROWS}


def _create(conn: Connection, *, row: PlanRow, actor: str) -> None:
    if store.plan_named(conn, row.name) is not None:
        raise Conflict(f"There is a plan named {row.name!r} already. Edit it, or choose another name.")
    store.insert_plan(conn, row)
    _note(conn, row, action="plan.create", actor=actor, detail=_told(row), at=row.created_at)


def _edit(conn: Connection, *, which: str, wanted: PlanFields, actor: str, at: int) -> PlanRow:
    before = _lock(conn, which)
    after = _apply(before, wanted)
    changed = _changes(before, after)
    if changed:
        store.update_plan(conn, after)
        _note(conn, after, action="plan.edit", actor=actor, detail=changed, at=at)
    return after


def _changes(before: PlanRow, after: PlanRow) -> dict[str, Told]:
    """What the audit log tells of an edit: each new value, and the old one beside it."""
    old, new = _told(before), _told(after)
    changed = {name: value for name, value in new.items() if old[name] != value}
    return changed | {f"{name}_before": old[name] for name in changed}


def _archive(conn: Connection, *, which: str, actor: str, at: int) -> PlanRow:
    row = _lock(conn, which)
    if row.archived_at is not None:
        return row
    row = replace(row, archived_at=at)
    store.update_plan(conn, row)
    _note(conn, row, action="plan.archive", actor=actor, detail={}, at=at)
    return row


def _assign(conn: Connection, *, org_id: str, which: str, actor: str, at: int) -> PlanRow:
    standing = store.lock_org(conn, org_id)
    if standing is None or standing.deleted_at is not None:
        raise NotFound(f"There is no organization with the id {org_id!r}.", param="org_id")
    row = _find(conn, which=which)
    if row.id == standing.plan.id:
        return row
    if row.archived_at is not None:
        raise Conflict(f"The plan {row.name!r} is archived. The list of plans shows those that may be used.")
    store.assign_plan(conn, org_id, plan_id=row.id)
    detail = {"from": standing.plan.name, "to": row.name}
    audit.note(conn, org_id, actor=actor, action="plan.assign", subject=row.id, detail=detail, at=at)
    return row


def _of(conn: Connection, *, org_id: str) -> PlanRow:
    row = store.plan_of(conn, org_id)
    if row is None:
        raise NotFound(f"There is no organization with the id {org_id!r}.", param="org_id")
    return row


def _find(conn: Connection, *, which: str) -> PlanRow:
    row = store.plan_named(conn, which)
    if row is None:
        raise NotFound(f"There is no plan named {which!r}. The list of plans shows them all.", param="plan")
    return row


def _lock(conn: Connection, which: str) -> PlanRow:
    """The plan as it is while nobody else changes it."""
    store.lock_plan(conn, _find(conn, which=which).id)
    return _find(conn, which=which)


def _apply(row: PlanRow, wanted: PlanFields) -> PlanRow:
    """The plan with what is wanted of it; raises InvalidRequest."""
    values = {name: value for name, value in structs.asdict(wanted).items() if value is not UNSET}
    for name, (least, most) in RANGES.items():
        value = values.get(name)
        if value is not None and not least <= value <= most:
            raise InvalidRequest(f"A plan's {name} lies between {_shown(name, least, most)}.", param=name)
    models = values.get("models")
    if models is not None and not (1 <= len(models) <= MODELS and all(models)):
        raise InvalidRequest(
            f"A plan's models are 1 to {MODELS} names; leave them out to allow all.", param="models"
        )
    if "models" in values:
        values["models"] = write_models(models)
    return replace(row, **values)


def _shown(name: str, least: int, most: int) -> str:
    if name.startswith("monthly_"):
        return f"{usd(least)} and {usd(most)} USD"
    if name == "price_factor":
        return f"{decimal_text(least, FACTOR_PLACES)} and {decimal_text(most, FACTOR_PLACES)}"
    return f"{least} and {most}"


def _note(conn: Connection, row: PlanRow, *, action: str, actor: str, detail: Detail, at: int) -> None:
    audit.note(conn, None, actor=actor, action=action, subject=row.id, detail=detail, at=at)


def _told(row: PlanRow) -> dict[str, Told]:
    """What the audit log tells of a plan."""
    info = _info(row)
    told = {name: getattr(info, name) for name in PlanFields.__struct_fields__}
    return {"name": info.name} | told | {"models": row.models}


def _info(row: PlanRow) -> PlanInfo:
    models = read_models(row.models)
    return PlanInfo(
        id=row.id,
        name=row.name,
        rpm=row.rpm,
        tpm=row.tpm,
        concurrency=row.concurrency,
        keys=row.keys,
        models=None if models is None else sorted(models),
        price_factor=decimal_text(row.price_factor, FACTOR_PLACES),
        weight=row.weight,
        monthly_credits=usd(row.monthly_credits),
        monthly_price=usd(row.monthly_price),
        created_at=seconds(row.created_at),
        archived_at=seconds_or_none(row.archived_at),
    )
