"""The statements about promo codes and who has used them. The database settles who gets the last use."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from sqlalchemy import Connection, insert, or_, select, update

from ingot.store.schema import promo_codes, promo_uses


@dataclass(frozen=True, slots=True)
class Promo:
    """A promo code; None is no limit."""

    code: str
    amount: int
    expires_at: int | None
    most_uses: int | None
    uses: int
    created_at: int
    ended_at: int | None


_COLUMNS = tuple(promo_codes.c[field.name] for field in fields(Promo))


def insert_promo(conn: Connection, promo: Promo) -> None:
    """Adds a code; raises StoreConflict (through the database) where it is there already."""
    conn.execute(insert(promo_codes), {field.name: getattr(promo, field.name) for field in fields(Promo)})


def find_promo(conn: Connection, code: str) -> Promo | None:
    """The code as it stands."""
    found = conn.execute(select(*_COLUMNS).where(promo_codes.c.code == code)).first()
    return None if found is None else Promo(*found)


def list_promos(conn: Connection, *, ended: bool = True) -> Sequence[Promo]:
    """All codes, the oldest first."""
    query = select(*_COLUMNS).order_by(promo_codes.c.created_at, promo_codes.c.code)
    if not ended:
        query = query.where(promo_codes.c.ended_at.is_(None))
    return [Promo(*row) for row in conn.execute(query)]


def end_promo(conn: Connection, code: str, *, at: int) -> bool:
    """Ends a code; False where it is over already."""
    query = update(promo_codes).where(promo_codes.c.code == code, promo_codes.c.ended_at.is_(None))
    return bool(conn.execute(query.values(ended_at=at)).rowcount)


def claim_use(conn: Connection, code: str, *, at: int) -> bool:
    """Takes one of the uses that are left; False where there is none. Of two that race for the last one wins."""
    query = update(promo_codes).where(
        promo_codes.c.code == code,
        promo_codes.c.ended_at.is_(None),
        or_(promo_codes.c.expires_at.is_(None), promo_codes.c.expires_at > at),
        or_(promo_codes.c.most_uses.is_(None), promo_codes.c.uses < promo_codes.c.most_uses),
    )
    return bool(conn.execute(query.values(uses=promo_codes.c.uses + 1)).rowcount)


def used_by(conn: Connection, code: str, *, org_id: str) -> bool:
    """Whether an organization has used a code."""
    query = select(promo_uses.c.at).where(promo_uses.c.code == code, promo_uses.c.org_id == org_id)
    return conn.execute(query).first() is not None


def insert_use(conn: Connection, code: str, *, org_id: str, at: int) -> None:
    """Notes that an organization used a code; raises StoreConflict (through the database) for a second time."""
    conn.execute(insert(promo_uses), {"code": code, "org_id": org_id, "at": at})
