"""Uploads: a file that comes in parts, each a request of its own, and is whole or nothing.

    create --> pending --add part, any number, in any order--> complete(part ids in order) --> file
                  |-- cancel --> cancelled         parts gone
                  '-- an hour  --> expired         parts gone

A part is in place on disk before its row is; a file is in place before its row is, and the rows of its parts go in the
same write. Of two that end an upload at once one does. Knows no HTTP; who asks is known before.
"""

from typing import Final

from sqlalchemy import Connection

from ingot.clock import Clock
from ingot.dialects import files as wire
from ingot.dialects.files import CompleteUpload, CreateUpload, UploadObject, UploadPart
from ingot.errors import Conflict, InvalidRequest, NotFound, TooLarge
from ingot.ids import new_id
from ingot.rawjson import clip
from ingot.services.files import Files, check_quota, keep_seconds_of, on_disk, shown
from ingot.services.keeping import Keep, keep_nothing, kept
from ingot.services.keys import Principal
from ingot.store import files as store
from ingot.store.blobs import Draft
from ingot.store.database import Database
from ingot.store.files import FileRow, PartRow, UploadRow
from ingot.store.schema import MICROSECOND, micros, seconds

LIFE_SECONDS: Final = 3_600


class Uploads:
    """The uploads of one database and one directory."""

    def __init__(self, db: Database, files: Files, *, clock: Clock) -> None:
        self.files = files
        self._db = db
        self._clock = clock

    async def create(
        self, who: Principal, wanted: CreateUpload, *, keep: Keep[bytes] = keep_nothing
    ) -> bytes:
        """A pending upload; raises TooLarge, QuotaExceeded."""
        limits = self.files.limits
        most = limits.batch_bytes if wanted.purpose == "batch" else limits.upload_bytes
        if wanted.bytes > most:
            raise TooLarge(
                f"'bytes' is {wanted.bytes:,}; an upload with the purpose '{wanted.purpose}' has at most {most:,}.",
                param="bytes",
            )
        now = self._now()
        row = UploadRow(
            id=new_id("upload"),
            org_id=who.org_id,
            key_id=who.key_id,
            purpose=wanted.purpose,
            filename=wire.check_name(wanted.filename),
            mime_type=wanted.mime_type,
            bytes=wanted.bytes,
            state="pending",
            keep_seconds=keep_seconds_of(wanted),
            file_id=None,
            created_at=now,
            expires_at=now + LIFE_SECONDS * MICROSECOND,
        )

        def write(conn: Connection) -> bytes:
            check_quota(conn, who.org_id, more=wanted.bytes, most=limits.organization_bytes)
            store.insert_upload(conn, row)
            return wire.encode(_shown(row))

        return await self._db.write(kept(write, keep), locks=(who.org_id,))

    async def add(
        self, who: Principal, which: str, draft: Draft, *, keep: Keep[bytes] = keep_nothing
    ) -> bytes:
        """A part; raises NotFound, Conflict, InvalidRequest, QuotaExceeded."""
        if not draft.size:
            raise InvalidRequest("The part is empty.", param="data")
        upload = await self.pending(who.org_id, which)
        if draft.size > upload.bytes:
            raise InvalidRequest(
                f"The part has {draft.size:,} bytes, and the whole upload was announced with {upload.bytes:,}.",
                param="data",
            )
        row = PartRow(new_id("part"), upload.id, draft.size, self._now())
        await on_disk(lambda: self.files.blobs.keep(draft, row.id))

        def write(conn: Connection) -> bytes:
            check_quota(conn, who.org_id, more=row.bytes, most=self.files.limits.organization_bytes)
            if not store.insert_part(conn, row):
                raise _ended(which)
            return wire.encode(
                UploadPart(id=row.id, created_at=seconds(row.created_at), upload_id=row.upload_id)
            )

        return await self.files.write_row(who, row.id, write, keep=keep)

    async def complete(
        self, who: Principal, which: str, wanted: CompleteUpload, *, keep: Keep[bytes] = keep_nothing
    ) -> bytes:
        """The upload with its file; raises NotFound, Conflict, InvalidRequest, Overloaded."""
        upload = await self.pending(who.org_id, which)
        parts = await self._db.read(lambda conn: store.parts_of(conn, upload.id))
        _check_parts(upload, wanted, parts)
        draft = await on_disk(lambda: self.files.blobs.join(wanted.part_ids))
        try:
            if wanted.md5 is not None and draft.md5.hexdigest() != wanted.md5.lower():
                raise InvalidRequest(
                    f"The parts in this order have the MD5 sum {draft.md5.hexdigest()}, not the one in 'md5'.",
                    param="md5",
                )
            file = self.files.row_of(
                who,
                draft,
                filename=upload.filename,
                purpose=upload.purpose,
                keep_seconds=upload.keep_seconds,
            )
            await on_disk(lambda: self.files.blobs.keep(draft, file.id))
        finally:
            draft.discard()
        return await self._end_with(who, upload, file, keep=keep)

    async def _end_with(
        self, who: Principal, upload: UploadRow, file: FileRow, *, keep: Keep[bytes]
    ) -> bytes:
        gone: list[str] = []

        def write(conn: Connection) -> bytes:
            parts = store.end_upload(conn, upload.id, state="completed", file_id=file.id)
            if parts is None:
                raise _ended(upload.id)
            gone[:] = parts
            store.insert_file(conn, file)
            return wire.encode(_shown(upload, state="completed", file=file))

        told = await self.files.write_row(who, file.id, write, keep=keep)
        await on_disk(lambda: self.files.blobs.remove(gone))
        return told

    async def cancel(self, who: Principal, which: str) -> bytes:
        """The upload, cancelled; raises NotFound, Conflict."""
        upload = await self.pending(who.org_id, which)
        gone = await self._db.write(
            lambda conn: store.end_upload(conn, upload.id, state="cancelled"), locks=(who.org_id,)
        )
        if gone is None:
            raise _ended(which)
        await on_disk(lambda: self.files.blobs.remove(gone))
        return wire.encode(_shown(upload, state="cancelled"))

    async def pending(self, org_id: str, which: str) -> UploadRow:
        """The upload, which still takes parts; raises NotFound, Conflict."""
        row = await self._db.read(lambda conn: store.find_upload(conn, org_id, which))
        if row is None:
            raise NotFound(f"No upload has the id '{clip(which)}'.", param="upload_id")
        if row.state != "pending" or row.expires_at <= self._now():
            raise _ended(which)
        return row

    def _now(self) -> int:
        return micros(self._clock.now())


def _check_parts(upload: UploadRow, wanted: CompleteUpload, parts: dict[str, int]) -> None:
    for index, part in enumerate(wanted.part_ids):
        if part not in parts:
            raise InvalidRequest(
                f"The upload has no part '{clip(part)}'.", param=f"part_ids[{index}]", code="part_not_found"
            )
    total = sum(parts[part] for part in wanted.part_ids)
    if total != upload.bytes:
        raise InvalidRequest(
            f"These parts have {total:,} bytes together, and the upload was announced with {upload.bytes:,}.",
            param="part_ids",
        )


def _ended(which: str) -> Conflict:
    return Conflict(
        f"The upload '{clip(which)}' takes nothing more: it was completed or cancelled, or its hour is over. Begin a new one.",
        code="upload_ended",
        headers=(("x-should-retry", "false"),),
    )


def _shown(row: UploadRow, *, state: str = "pending", file: FileRow | None = None) -> UploadObject:
    return UploadObject(
        id=row.id,
        bytes=row.bytes,
        created_at=seconds(row.created_at),
        expires_at=seconds(row.expires_at),
        filename=row.filename,
        purpose=row.purpose,
        status=state,
        file=None if file is None else shown(file),
    )
