"""The audit log: who changed what, when. Rows are added in the transaction of the change and never touched again.

Decides the shape of a row alone; what is worth a row is decided where it happens. A row never holds a secret.

    action              subject             written by
    session.*           a user's id         sign-in, sign-out, password
    user.*              a user's id         sign-up, verification, the operator's commands
    organization.*      an organization's   creation, settings, deletion
    member.*            a user's id         roles
    invitation.*        an invitation's     invitations
    key.* plan.* price.* limit.*            whoever changes them
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, insert, select

from ingot.store.schema import audit

_INSERT = insert(audit)

Detail = Mapping[str, str | int | bool | None]


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One change; `at` in microseconds, `org_id` None where it concerns no organization."""

    seq: int
    org_id: str | None
    actor: str
    action: str
    subject: str
    detail: dict[str, str | int | bool | None]
    at: int


def note(
    conn: Connection,
    org_id: str | None,
    *,
    actor: str,
    action: str,
    subject: str,
    at: int,
    detail: Detail | None = None,
) -> None:
    """Adds a row; `actor` is a user's id, a key's id or `cli`, `detail` holds what changed and no secret."""
    conn.execute(
        _INSERT,
        {
            "org_id": org_id,
            "actor": actor,
            "action": action,
            "subject": subject,
            "detail": msgspec.json.encode(dict(detail or {})).decode(),
            "at": at,
        },
    )


def list_audit(conn: Connection, org_id: str | None, *, before: int | None, limit: int) -> list[AuditRow]:
    """An organization's rows, the newest first, older than row `before`; with None as organization all rows."""
    query = select(audit).order_by(audit.c.seq.desc()).limit(limit)
    if org_id is not None:
        query = query.where(audit.c.org_id == org_id)
    if before is not None:
        query = query.where(audit.c.seq < before)
    return [
        AuditRow(
            seq=found["seq"],
            org_id=found["org_id"],
            actor=found["actor"],
            action=found["action"],
            subject=found["subject"],
            detail=msgspec.json.decode(found["detail"]),
            at=found["at"],
        )
        for found in conn.execute(query).mappings()
    ]
