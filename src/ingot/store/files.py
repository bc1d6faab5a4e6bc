"""The statements about files and uploads: added, found, listed, summed up, let go.

    upload    pending --> completed (its file's row in the same transaction) | cancelled | expired

Each is bound to an organization but for the sweeps. A change of state names the state that it leaves, so that of two at
once one happens. What lies on disk under the ids is the caller's care (`store.blobs`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, delete, func, insert, or_, select, update

from ingot.store.responses import Mark, Step, beyond, is_plain
from ingot.store.schema import files, organizations, upload_parts, uploads

UploadState = Literal["pending", "completed", "cancelled", "expired"]

_f = files.c
_u = uploads.c
_p = upload_parts.c
_GONE = select(organizations.c.id).where(organizations.c.deleted_at.is_not(None))


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file; instants in microseconds."""

    id: str
    org_id: str
    key_id: str
    purpose: str
    filename: str
    bytes: int
    sha256: str
    created_at: int
    expires_at: int | None


@dataclass(frozen=True, slots=True)
class UploadRow:
    """An upload; `bytes` as announced, `keep_seconds` for how long its file is kept."""

    id: str
    org_id: str
    key_id: str
    purpose: str
    filename: str
    mime_type: str
    bytes: int
    state: UploadState
    keep_seconds: int | None
    file_id: str | None
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class PartRow:
    """A part of an upload."""

    id: str
    upload_id: str
    bytes: int
    created_at: int


def insert_file(conn: Connection, row: FileRow) -> None:
    """Adds a file whose bytes are in place."""
    conn.execute(insert(files), {name: getattr(row, name) for name in FileRow.__slots__})


def find_file(conn: Connection, org_id: str, which: str, *, now: int) -> FileRow | None:
    """The organization's file with this id, unless its time is over."""
    if not is_plain(which):
        return None
    query = select(files).where(
        _f.org_id == org_id, _f.id == which, or_(_f.expires_at.is_(None), _f.expires_at > now)
    )
    found = conn.execute(query).mappings().first()
    return None if found is None else FileRow(**found)


def list_files(
    conn: Connection, org_id: str, *, purpose: str | None, now: int, step: Step
) -> tuple[list[FileRow], bool]:
    """The next files of a list, and whether more follow."""
    query = select(files).where(
        _f.org_id == org_id,
        or_(_f.expires_at.is_(None), _f.expires_at > now),
        *beyond(_f.created_at, _f.id, step),
    )
    if purpose is not None:
        query = query.where(_f.purpose == purpose)
    order = (_f.created_at.desc(), _f.id.desc()) if step.descending else (_f.created_at, _f.id)
    found = conn.execute(query.order_by(*order).limit(step.limit + 1)).mappings().all()
    return [FileRow(**row) for row in found[: step.limit]], len(found) > step.limit


def mark_of(row: FileRow) -> Mark:
    """A file's place in lists."""
    return Mark(row.created_at, row.id)


def delete_file(conn: Connection, org_id: str, which: str) -> bool:
    """Removes a file's row; False where there is none."""
    return (
        is_plain(which)
        and conn.execute(delete(files).where(_f.org_id == org_id, _f.id == which)).rowcount == 1
    )


def taken_bytes(conn: Connection, org_id: str) -> int:
    """What an organization's files and the parts of its pending uploads take."""
    whole = conn.execute(select(func.coalesce(func.sum(_f.bytes), 0)).where(_f.org_id == org_id)).scalar_one()
    parts = conn.execute(
        select(func.coalesce(func.sum(_p.bytes), 0))
        .join_from(uploads, upload_parts, _p.upload_id == _u.id)
        .where(_u.org_id == org_id, _u.state == "pending")
    ).scalar_one()
    return int(whole) + int(parts)


def insert_upload(conn: Connection, row: UploadRow) -> None:
    """Adds an upload without parts."""
    conn.execute(insert(uploads), {name: getattr(row, name) for name in UploadRow.__slots__})


def find_upload(conn: Connection, org_id: str, which: str) -> UploadRow | None:
    """The organization's upload with this id, whatever became of it."""
    if not is_plain(which):
        return None
    found = conn.execute(select(uploads).where(_u.org_id == org_id, _u.id == which)).mappings().first()
    return None if found is None else _upload(found)


def end_upload(
    conn: Connection, upload_id: str, *, state: UploadState, file_id: str | None = None
) -> list[str] | None:
    """Ends a pending upload, and its parts with it: their ids; None where it had ended already."""
    ended = (
        update(uploads).where(_u.id == upload_id, _u.state == "pending").values(state=state, file_id=file_id)
    )
    if conn.execute(ended).rowcount != 1:
        return None
    gone = conn.execute(delete(upload_parts).where(_p.upload_id == upload_id).returning(_p.id))
    return [str(row[0]) for row in gone]


def insert_part(conn: Connection, row: PartRow) -> bool:
    """Adds a part whose bytes are in place; False where its upload is not pending."""
    # The row of the upload is taken, so that none ends it at this moment.
    held = update(uploads).where(_u.id == row.upload_id, _u.state == "pending").values(state="pending")
    if conn.execute(held).rowcount != 1:
        return False
    conn.execute(insert(upload_parts), {name: getattr(row, name) for name in PartRow.__slots__})
    return True


def parts_of(conn: Connection, upload_id: str) -> dict[str, int]:
    """The parts of an upload by id, with their bytes."""
    query = select(_p.id, _p.bytes).where(_p.upload_id == upload_id)
    return {str(row.id): int(row.bytes) for row in conn.execute(query)}


def sweep_files(conn: Connection, now: int, *, most: int = 200) -> list[str]:
    """Removes the rows of files whose time is over, or whose organization was deleted; their ids."""
    due = select(_f.id).where(_f.expires_at <= now).limit(most)
    ids = list(conn.execute(due).scalars()) or list(
        conn.execute(select(_f.id).where(_f.org_id.in_(_GONE)).limit(most)).scalars()
    )
    if ids:
        conn.execute(delete(files).where(_f.id.in_(ids)))
    return ids


def sweep_uploads(conn: Connection, now: int, *, most: int = 50) -> tuple[int, list[str]]:
    """Ends uploads whose time is over, or whose organization was deleted: how many, and the ids of their parts."""
    late = or_(_u.expires_at <= now, _u.org_id.in_(_GONE))
    ids = list(conn.execute(select(_u.id).where(_u.state == "pending", late).limit(most)).scalars())
    return len(ids), [
        part for upload_id in ids for part in end_upload(conn, upload_id, state="expired") or ()
    ]


def known(conn: Connection, names: Sequence[str]) -> set[str]:
    """Which of these are ids of files or of parts."""
    found: set[str] = set()
    for column in (_f.id, _p.id):
        found.update(conn.execute(select(column).where(column.in_(list(names)))).scalars())
    return found


def _upload(found: RowMapping) -> UploadRow:
    values: dict[str, Any] = dict(found)
    return UploadRow(**values)
