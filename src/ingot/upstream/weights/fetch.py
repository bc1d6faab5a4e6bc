"""Brings one file here: resumed, checked, then moved to its place.

    NAME.part        the bytes so far
    NAME.part.json   what they belong to: source, size, ETag; bytes of anything else are not continued

    pull --size known--> room on the disk, room in memory? --> bytes --header read--> a model that fits?
         --all bytes--> sha256 as promised? --> manifest, atomic rename

It decides when bytes may be trusted, and refuses to know who is watching: progress goes to a Watcher. A sum is always
computed and recorded; where somebody promised one it must agree.
"""

import contextlib
import fcntl
import hashlib
import http.client
import os
import re
import shutil
import time
import urllib.error
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from ingot.upstream.weights.gguf import GgufError, Header, Unfinished, read_header, read_whole
from ingot.upstream.weights.library import Library, Model, check_name, describe, mark_path
from ingot.upstream.weights.sources import Candidate
from ingot.upstream.weights.web import Body, Interrupted, PullError, Web, host_of, refused

SLICE = 1 << 20
SPARE_DISK = 64 << 20
MOST_FAILURES = 6
"""Lost connections in a row without a new byte."""
MEMORY_CONTEXT = 4_096
"""A model should at least hold a conversation of this many tokens."""
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class Watcher(Protocol):
    """Who is told how it goes; may raise PullError where a person decides to stop."""

    def begin(self, done: int, total: int | None) -> None:
        """The bytes there are already, and all there will be."""
        ...

    def advance(self, count: int) -> None: ...
    def note(self, text: str) -> None: ...

    def agree(self, problem: str) -> bool:
        """Whether to go on in spite of a problem."""
        ...


@dataclass(frozen=True, slots=True)
class Room:
    """Free bytes; None where nothing tells."""

    disk: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free
    memory: int | None = None


class Mark(msgspec.Struct, frozen=True):
    """What the bytes of a part belong to."""

    source: str
    size: int | None
    etag: str | None


def pull(
    candidate: Candidate,
    library: Library,
    *,
    web: Web,
    watcher: Watcher,
    room: Room,
    sha256: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
) -> Model:
    """Brings a candidate into the library; PullError or LibraryError, and what came stays for the next try."""
    promised = sha256 or candidate.sha256
    check_name(candidate.name)
    library.path_of(candidate.name)
    part = library.part_of(candidate.name)
    part.parent.mkdir(parents=True, exist_ok=True)
    with locked(part) as file:
        transfer = Transfer(candidate, part, file, web=web, watcher=watcher, room=room)
        transfer.run(sleep)
        digest = transfer.digest.hexdigest()
        if promised and digest != promised.lower():
            discard(part)
            raise PullError(
                f"the sha256 of {candidate.source} is {digest}, and {promised.lower()} was promised: "
                "the bytes were thrown away; pull again, and do not trust the source if it happens twice"
            )
        manifest = describe(
            model_header(part),
            name=candidate.name,
            size=part.stat().st_size,
            source=candidate.source,
            at=int(now()),
            sha256=digest,
            licence=candidate.licence,
        )
        model = library.place(part, manifest)
        mark_path(part).unlink(missing_ok=True)
        return model


class Transfer:
    """The bytes of one candidate on their way into one part."""

    def __init__(
        self, candidate: Candidate, part: Path, file: BinaryIO, *, web: Web, watcher: Watcher, room: Room
    ) -> None:
        self.digest = hashlib.sha256()
        self.header: Header | None = None
        self._candidate = candidate
        self._part = part
        self._file = file
        self._web = web
        self._watcher = watcher
        self._room = room
        self._size = candidate.size
        self._done = 0
        self._peek_at = SLICE
        self._agreed = False

    def run(self, sleep: Callable[[float], None]) -> None:
        """Fills the part; what is lost on the way is asked for again, from where it was lost."""
        if self._candidate.path is not None:
            self._restart()
            self._check_room()
            self._watcher.begin(0, self._size)
            with self._candidate.path.open("rb") as source:
                self._take(source)
        else:
            self._recall()
            self._download(sleep)
        self._file.flush()
        os.fsync(self._file.fileno())

    def _download(self, sleep: Callable[[float], None]) -> None:
        failures = 0
        while True:
            before = self._done
            try:
                self._ask()
            except Interrupted as error:
                failures = 1 if self._done > before else failures + 1
                if failures >= MOST_FAILURES:
                    raise PullError(
                        f"{error}. What came is kept; the same command goes on from there"
                    ) from error
                self._watcher.note(f"{error}; trying again")
                sleep(min(30.0, 2.0 ** (failures - 1)))
            else:
                return

    def _ask(self) -> None:
        """One request for what is missing, and its bytes."""
        url = self._candidate.url or ""
        mark = read_mark(self._part)
        headers = dict(self._candidate.headers)
        headers["Accept-Encoding"] = "identity"
        if self._done:
            headers["Range"] = f"bytes={self._done}-"
            if mark and mark.etag:
                headers["If-Range"] = mark.etag
        try:
            body = self._web.open(url, headers)
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and self._done:
                if self._done == self._size:
                    return
                self._restart()
                raise Interrupted("what was there does not fit the file") from error
            raise self._refusal(error) from error
        with contextlib.closing(body):
            self._fit(body)
            self._check_room()
            self._watcher.begin(self._done, self._size)
            self._take(body)
        if self._size is not None and self._done != self._size:
            raise Interrupted(
                f"the connection to {host_of(url)} ended after {self._done} of {self._size} bytes"
            )

    def _refusal(self, error: urllib.error.HTTPError) -> PullError:
        if error.code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            hint = "accept the model's terms on its page and set HF_TOKEN" if self._candidate.source.startswith("hf:") else (
                "the server wants a login"
            )  # fmt: skip
            return PullError(f"{self._candidate.source} is refused ({error.code}): {hint}")
        return refused(error, self._candidate.source)

    def _fit(self, body: Body) -> None:
        """Takes note of what the server is about to send, and begins anew where it is not the rest of what is here."""
        total, at = content_size(body)
        etag = body.headers.get("ETag")
        strong = etag if etag and not etag.startswith("W/") else None
        mark = read_mark(self._part)
        changed = total not in {None, self._size} or bool(mark and mark.etag and strong != mark.etag)
        if at != self._done or (at and changed):
            self._restart()
            if at:
                raise Interrupted("the server's file is another than the one that was begun")
        if self._candidate.size is not None and total is not None and total != self._candidate.size:
            raise PullError(f"the server sends {total} bytes, and {self._candidate.size} were listed")
        self._size = total if total is not None else self._size
        write_mark(self._part, Mark(self._candidate.source, self._size, strong))

    def _take(self, source: Body | BinaryIO) -> None:
        while True:
            try:
                data = source.read(SLICE)
            except (OSError, http.client.HTTPException) as error:
                raise Interrupted(f"the connection was lost: {error!r}") from error
            if not data:
                return
            try:
                self._file.write(data)
            except OSError as error:
                raise PullError(f"{self._part} cannot be written: {error.strerror}") from error
            self._count(data)
            self._watcher.advance(len(data))
            self._peek()

    def _count(self, data: bytes) -> None:
        self.digest.update(data)
        self._done += len(data)

    def _peek(self) -> None:
        """Reads the header as soon as it may be there: what is no model, or too large, is not worth the rest."""
        if self.header is not None or self._done < self._peek_at:
            return
        self._peek_at = self._done * 4
        self._file.flush()
        try:
            self.header = read_header(self._part)
        except Unfinished:
            return
        except GgufError as error:
            discard(self._part)
            raise PullError(f"{self._candidate.source} cannot be served: {error}") from error
        self._check_memory(self.header.memory(self._size or self._done, MEMORY_CONTEXT))

    def _check_room(self) -> None:
        if self._size is None:
            return
        missing = self._size - self._done
        free = self._room.disk(self._part.parent)
        if missing + SPARE_DISK > free:
            raise PullError(
                f"{human(missing)} are to come and {self._part.parent} has {human(free)} free; "
                "make room, or choose another disk with --data"
            )
        self._check_memory(self._size)

    def _check_memory(self, needed: int) -> None:
        free = self._room.memory
        if free is None or needed <= free or self._agreed:
            return
        problem = f"this model wants about {human(needed)} of memory, and {human(free)} are free"
        if not self._watcher.agree(problem):
            raise PullError(f"{problem}; choose a smaller quantization, or add --yes to pull it anyway")
        self._agreed = True

    def _recall(self) -> None:
        """Takes up what an earlier pull of the same file left."""
        mark = read_mark(self._part)
        same = mark is not None and mark.source == self._candidate.source
        if not same or mark is None or (self._candidate.size not in {None, mark.size}):
            self._restart()
            return
        self._size = mark.size
        self._file.seek(0)
        while data := self._file.read(SLICE):
            self._count(data)

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.digest = hashlib.sha256()
        self._done = 0


def model_header(part: Path) -> Header:
    """The header of a finished part; what cannot be served is thrown away."""
    try:
        return read_whole(part)
    except GgufError as error:
        discard(part)
        raise PullError(f"this file cannot be served: {error}") from error


def content_size(body: Body) -> tuple[int | None, int]:
    """The size of the whole file, and where in it this response begins."""
    if body.status == HTTPStatus.PARTIAL_CONTENT:
        found = CONTENT_RANGE.match(body.headers.get("Content-Range") or "")
        if not found:
            raise PullError("the server answered with a part and did not say which")
        return (None if found[2] == "*" else int(found[2])), int(found[1])
    length = body.headers.get("Content-Length") or ""
    return (int(length) if length.isdigit() else None), 0


@contextlib.contextmanager
def locked(part: Path) -> Iterator[BinaryIO]:
    """The part, open and ours alone: two pulls of one model would write over each other."""
    try:
        with part.open("a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise PullError(f"another pull of {part.stem} is running") from error
            try:
                yield file
            finally:
                if part.exists() and not part.stat().st_size:
                    discard(part)
    except OSError as error:
        raise PullError(f"{part}: {error.strerror or error}") from error


def discard(part: Path) -> None:
    """Throws away what came."""
    part.unlink(missing_ok=True)
    mark_path(part).unlink(missing_ok=True)


def read_mark(part: Path) -> Mark | None:
    """What a part belongs to; None where nothing says it."""
    try:
        return msgspec.json.decode(mark_path(part).read_bytes(), type=Mark)
    except (OSError, msgspec.MsgspecError):
        return None


def write_mark(part: Path, mark: Mark) -> None:
    """Notes what a part belongs to."""
    mark_path(part).write_bytes(msgspec.json.encode(mark))


def human(size: int) -> str:
    """A number of bytes for people."""
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
