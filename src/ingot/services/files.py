"""Files of an organization: kept on disk, found, listed, deleted, let go when their time is over.

    take --bytes in place--> row, in one write with what is told of it --> FileObject
    row gone --> bytes gone             expired, deleted, or its organization was

What belongs to somebody else, has expired or was deleted cannot be told from what never was. The quota counts in the
write that adds a file, where the organization's name is a lock: two at once do not both take the last room. Knows no
HTTP; who asks is known before.
"""

import asyncio
import errno
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, BinaryIO, Protocol, TypeVar

from msgspec import UNSET
from sqlalchemy import Connection

from ingot.clock import Clock
from ingot.config.clientfiles import FilesConfig
from ingot.dialects import files as wire
from ingot.dialects.files import CreateFile, FileDeleted, FileList, FileObject
from ingot.errors import InvalidRequest, NotFound, Overloaded, QuotaExceeded, TooLarge
from ingot.ids import new_id
from ingot.rawjson import clip
from ingot.services.keeping import Keep, keep_nothing, kept
from ingot.services.keys import Principal
from ingot.services.paging import no_place
from ingot.store import files as store
from ingot.store.blobs import Blobs, Draft
from ingot.store.database import Database
from ingot.store.files import FileRow
from ingot.store.responses import Step
from ingot.store.schema import MICROSECOND, micros, seconds

DAY = 86_400

T = TypeVar("T")
IO = TypeVar("IO", bound=BinaryIO)


class Owner(Protocol):
    """Whose a file is: an organization's, made with one of its keys."""

    @property
    def org_id(self) -> str: ...
    @property
    def key_id(self) -> str: ...


class Files:
    """The files of one database and one directory."""

    def __init__(self, db: Database, blobs: Blobs, *, limits: FilesConfig, clock: Clock) -> None:
        self.blobs = blobs
        self.limits = limits
        self._db = db
        self._clock = clock

    async def begin(self) -> Draft:
        """Where the bytes of a new file go; raises Overloaded where the disk refuses."""
        return await on_disk(self.blobs.begin)

    def check_size(self, size: int, *, purpose: str) -> None:
        """Raises TooLarge for a file that is larger than its purpose may have."""
        most = self.limits.batch_bytes if purpose == "batch" else self.limits.file_bytes
        if size > most:
            way = "" if purpose == "batch" else " Larger ones are uploaded in parts, at /v1/uploads."
            raise TooLarge(
                f"The file has more than {most:,} bytes, the most for '{purpose}'.{way}", param="file"
            )

    async def create(
        self,
        who: Principal,
        draft: Draft,
        *,
        filename: str,
        wanted: CreateFile,
        keep: Keep[bytes] = keep_nothing,
    ) -> bytes:
        """The draft as a file; raises InvalidRequest, TooLarge, QuotaExceeded, Overloaded."""
        if not draft.size:
            raise InvalidRequest("The file is empty.", param="file")
        self.check_size(draft.size, purpose=wanted.purpose)
        row = self.row_of(
            who, draft, filename=filename, purpose=wanted.purpose, keep_seconds=keep_seconds_of(wanted)
        )
        await on_disk(lambda: self.blobs.keep(draft, row.id))

        def write(conn: Connection) -> bytes:
            check_quota(conn, who.org_id, more=row.bytes, most=self.limits.organization_bytes)
            store.insert_file(conn, row)
            return wire.encode(shown(row))

        return await self.write_row(who, row.id, write, keep=keep)

    async def write_row(
        self, who: Principal, name: str, write: Callable[[Connection], bytes], *, keep: Keep[bytes]
    ) -> bytes:
        """What `write` gives, which makes the row of bytes that are in place under `name`; without it they go again."""
        return await self.write_rows(who.org_id, [name], kept(write, keep))

    async def write_rows(self, org_id: str, names: Sequence[str], write: Callable[[Connection], T]) -> T:
        """The same for several that are made together, or not at all."""
        try:
            return await self._db.write(write, locks=(org_id,))
        except BaseException:
            # Nothing knows these bytes; where the rows were written after all, as a cancelled caller cannot tell, they stay.
            if not await asyncio.shield(self._db.read(lambda conn: store.known(conn, names))):
                await on_disk(lambda: self.blobs.remove(names))
            raise

    def row_of(
        self, who: Owner, draft: Draft, *, filename: str, purpose: str, keep_seconds: int | None
    ) -> FileRow:
        """The row of a draft that becomes a file now."""
        now = self._now()
        return FileRow(
            id=f"file-{new_id('')[1:]}",
            org_id=who.org_id,
            key_id=who.key_id,
            purpose=purpose,
            filename=filename,
            bytes=draft.size,
            sha256=draft.sha256.hexdigest(),
            created_at=now,
            expires_at=None if keep_seconds is None else now + keep_seconds * MICROSECOND,
        )

    async def read(self, org_id: str, which: str) -> bytes:
        """The file; raises NotFound."""
        return wire.encode(shown(await self._find(org_id, which)))

    async def content(self, org_id: str, which: str) -> tuple[BinaryIO, FileRow]:
        """Its bytes, open to be read and closed by the caller: a deletion that comes now does not cut them. Raises NotFound."""
        row = await self._find(org_id, which)
        try:
            return await opened(asyncio.to_thread(self.blobs.path(row.id).open, "rb")), row
        except FileNotFoundError:
            raise _missing(which) from None

    async def list(
        self, org_id: str, *, purpose: str | None, after: str | None, limit: int, descending: bool
    ) -> bytes:
        """A page of files; raises InvalidRequest where `after` names none."""
        now = self._now()

        def read(conn: Connection) -> bytes:
            mark = None
            if after is not None:
                last = store.find_file(conn, org_id, after, now=now)
                if last is None:
                    raise no_place()
                mark = store.mark_of(last)
            rows, more = store.list_files(
                conn, org_id, purpose=purpose, now=now, step=Step(mark, limit, descending)
            )
            data = [shown(row) for row in rows]
            ends = (data[0].id, data[-1].id) if data else (None, None)
            return wire.encode(FileList(data=data, first_id=ends[0], last_id=ends[1], has_more=more))

        return await self._db.read(read)

    async def delete(self, org_id: str, which: str) -> bytes:
        """Removes it for good; raises NotFound."""
        await self._find(org_id, which)
        if not await self._db.write(lambda conn: store.delete_file(conn, org_id, which), locks=(org_id,)):
            raise _missing(which)
        await on_disk(lambda: self.blobs.remove([which]))
        return wire.encode(FileDeleted(which))

    async def named(self, org_id: str, names: Iterable[str]) -> dict[str, FileRow]:
        """Those of these files that are there and the organization's, by their ids."""
        now = self._now()

        def read(conn: Connection) -> dict[str, FileRow]:
            rows = [store.find_file(conn, org_id, name, now=now) for name in names]
            return {row.id: row for row in rows if row is not None}

        return await self._db.read(read)

    async def _find(self, org_id: str, which: str) -> FileRow:
        now = self._now()
        row = await self._db.read(lambda conn: store.find_file(conn, org_id, which, now=now))
        if row is None:
            raise _missing(which)
        return row

    def _now(self) -> int:
        return micros(self._clock.now())


def shown(row: FileRow) -> FileObject:
    """A file as clients see it."""
    return FileObject(
        id=row.id,
        bytes=row.bytes,
        created_at=seconds(row.created_at),
        filename=row.filename,
        purpose=row.purpose,
        expires_at=UNSET if row.expires_at is None else seconds(row.expires_at),
    )


def keep_seconds_of(wanted: "CreateFile | wire.CreateUpload") -> int | None:
    """How long a file is kept; None: until somebody deletes it."""
    if wanted.expires_after is not None:
        return wanted.expires_after.seconds
    return wire.BATCH_DAYS * DAY if wanted.purpose == "batch" else None


def check_quota(conn: Connection, org_id: str, *, more: int, most: int) -> None:
    """Raises QuotaExceeded where an organization's files would take more than they may."""
    taken = store.taken_bytes(conn, org_id)
    if taken + more > most:
        raise QuotaExceeded(
            f"The files of your organization take {taken:,} of {most:,} bytes; {more:,} more do not fit. Delete files that "
            f"are not needed any more.",
            status=403,
            code="storage_quota_exceeded",
            headers=(("x-should-retry", "false"),),
        )


async def on_disk(work: Callable[[], T]) -> T:
    """What `work` gives, done on a thread; raises Overloaded where the disk is full or fails."""
    try:
        return await asyncio.to_thread(work)
    except OSError as error:
        why = "is full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "failed"
        raise Overloaded(
            f"The disk that files are kept on {why}, so nothing was kept. Send the request again later; if it stays so, the "
            f"operator has to look at it.",
            code="storage_unavailable",
            retry_after=30.0,
        ) from error


async def opened(opening: Coroutine[Any, Any, IO]) -> IO:
    """What `opening` gives, closed again where its caller was cancelled and nobody else will."""
    task = asyncio.ensure_future(opening)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_close)
        raise


def _close(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _missing(which: str) -> NotFound:
    return NotFound(f"No file has the id '{clip(which)}'.", param="file_id")
