"""Files and uploads as OpenAI's client knows them, on both databases and a real directory."""

import asyncio
import hashlib
import io
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, AsyncOpenAI, BadRequestError, ConflictError, NotFoundError
from sqlalchemy import Connection, func, select, update

from databases import Place
from ingot.config.clientfiles import FilesConfig
from ingot.services.clearing import STRAY_SECONDS, Clearing
from ingot.services.files import Files
from ingot.store.blobs import Blobs
from ingot.store.schema import DEFAULT_ORG, files, organizations, upload_parts, uploads
from keyhouse import Lines
from ledgerbook import DAY, NOW, add_organization
from pagehouse import Pages, open_pages

LIMITS = FilesConfig(
    file_bytes=5_000_000, batch_bytes=2_000_000, upload_bytes=6_000_000, organization_bytes=8_000_000
)
HOUR = 3_600


@pytest.fixture
async def pages(backend: Place, tmp_path: Path) -> AsyncIterator[Pages]:
    """A store of two organizations, and a directory for files."""
    async with open_pages(backend, blobs=tmp_path / "files", limits=LIMITS) as opened:
        await opened.db.write(lambda conn: add_organization(conn, "org_two"))
        yield opened


@pytest.fixture
def client(pages: Pages) -> AsyncOpenAI:
    """OpenAI's client of the first organization."""
    return pages.openai(DEFAULT_ORG)


def _on_disk(folder: Path) -> list[str]:
    """The names of all that lies there, drafts included."""
    return sorted(path.name for path in (folder / "files").rglob("*") if path.is_file())


def _clearing(pages: Pages, folder: Path) -> Clearing:
    return Clearing(pages.db, Blobs(folder / "files"), clock=pages.clock, log=Lines())


async def _put(client: AsyncOpenAI, data: bytes = b"some bytes", **more: Any) -> Any:
    return await client.files.create(
        file=("notes.txt", data), purpose=more.pop("purpose", "user_data"), **more
    )


async def test_file_is_read_back_when_uploaded(client: AsyncOpenAI, tmp_path: Path) -> None:
    """Its object is OpenAI's, its bytes are the client's, and a deletion takes both."""
    data = os.urandom(3_000_000)
    made = await client.files.create(file=("a/b\\notes.txt", data), purpose="user_data")
    assert made.id.startswith("file-")
    assert (made.object, made.bytes, made.filename) == ("file", len(data), "notes.txt")
    assert (made.purpose, made.status, made.created_at, made.expires_at) == (
        "user_data",
        "processed",
        int(NOW),
        None,
    )
    assert await client.files.retrieve(made.id) == made
    assert (await client.files.content(made.id)).content == data
    gone = await client.files.delete(made.id)
    assert gone.model_dump() == {"id": made.id, "object": "file", "deleted": True}
    assert _on_disk(tmp_path) == []
    for ask in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(NotFoundError):
            await ask(made.id)


async def test_bytes_come_whole_when_the_file_is_deleted_while_they_are_read(
    pages: Pages, client: AsyncOpenAI, tmp_path: Path
) -> None:
    """Who has begun to read reads on; who comes later is told that there is none, also where the row is still there."""
    data = os.urandom(4_000_000)
    made = await _put(client, data=data)
    files_of = Files(pages.db, Blobs(tmp_path / "files"), limits=LIMITS, clock=pages.clock)
    handle, row = await files_of.content(DEFAULT_ORG, made.id)
    Blobs(tmp_path / "files").remove([made.id])
    with handle:
        assert (handle.read(), row.bytes) == (data, len(data))
    with pytest.raises(NotFoundError):
        await client.files.content(made.id)


async def test_file_is_nobody_elses_when_asked_for(pages: Pages, client: AsyncOpenAI) -> None:
    """Another organization cannot tell it from one that never was, and its lists do not show it."""
    made = await _put(client)
    other = pages.openai("org_two")
    for ask in (other.files.retrieve, other.files.content, other.files.delete):
        with pytest.raises(NotFoundError):
            await ask(made.id)
    assert (await other.files.list()).data == []
    assert await client.files.retrieve(made.id) == made


async def test_files_are_listed_when_paged(pages: Pages, client: AsyncOpenAI) -> None:
    """Newest first unless asked otherwise, page by page, and by purpose."""
    made = []
    for number in range(5):
        made.append(await _put(client, purpose="vision" if number % 2 else "user_data"))
        pages.clock.advance(1)
    names = [each.id for each in made]
    assert [each.id async for each in client.files.list(limit=2)] == names[::-1]
    assert [each.id async for each in client.files.list(limit=2, order="asc")] == names
    assert [each.id async for each in client.files.list(purpose="vision", order="asc")] == [
        names[1],
        names[3],
    ]
    page = await client.files.list(limit=2)
    assert (page.has_more, page.data[0].id) == (True, names[-1])


@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=0", "limit"), ("limit=10001", "limit"), ("order=up", "order"), ("purpose=fun", "purpose"),
     ("after=file-none", "after"), ("after=", "after"), ("limit=1&limit=2", "limit"), ("size=3", "size")],
)  # fmt: skip
async def test_list_is_refused_when_its_query_is_wrong(pages: Pages, query: str, param: str) -> None:
    """With a 400 that names the parameter."""
    status, body = await pages.call(f"/v1/files?{query}")
    assert status == 400
    assert f'"param":"{param}"'.encode() in body


async def test_file_goes_when_its_time_is_over(pages: Pages, client: AsyncOpenAI, tmp_path: Path) -> None:
    """As the client says, and after 30 days for a batch; out of sight at once, from disk with the next turn."""
    short = await _put(client, expires_after={"anchor": "created_at", "seconds": HOUR})
    batch = await _put(client, purpose="batch")
    stays = await _put(client)
    assert (short.expires_at, batch.expires_at, stays.expires_at) == (NOW + HOUR, NOW + 30 * DAY, None)
    pages.clock.advance(HOUR)
    with pytest.raises(NotFoundError):
        await client.files.retrieve(short.id)
    assert len(_on_disk(tmp_path)) == 3
    assert await _clearing(pages, tmp_path).turn(strays=False) == 1
    assert _on_disk(tmp_path) == sorted([batch.id, stays.id])
    pages.clock.advance(30 * DAY)
    assert await _clearing(pages, tmp_path).turn(strays=False) == 1
    assert _on_disk(tmp_path) == [stays.id]


async def test_files_go_when_their_organization_was_deleted(
    pages: Pages, client: AsyncOpenAI, tmp_path: Path
) -> None:
    """With what it uploaded in part."""
    await _put(client)
    begun = await client.uploads.create(bytes=3, filename="x", mime_type="text/plain", purpose="user_data")
    await client.uploads.parts.create(begun.id, data=b"abc")
    await pages.db.write(
        lambda conn: conn.execute(
            update(organizations).where(organizations.c.id == DEFAULT_ORG).values(deleted_at=1)
        )
    )
    assert await _clearing(pages, tmp_path).turn(strays=False) == 2
    assert _on_disk(tmp_path) == []


async def test_bytes_go_when_no_row_knows_them(pages: Pages, client: AsyncOpenAI, tmp_path: Path) -> None:
    """What a crash left, a draft or a blob, is removed after a day; what is known or young stays."""
    made = await _put(client)
    blobs = Blobs(tmp_path / "files")
    for name in ("file-left", "file-young"):
        draft = blobs.begin()
        draft.write(b"x")
        blobs.keep(draft, name)
    blobs.begin().close()
    now = pages.clock.now()
    for path in (tmp_path / "files").rglob("*"):
        if path.is_file():
            os.utime(path, (now, now if path.name == "file-young" else now - STRAY_SECONDS - 1))
    await _clearing(pages, tmp_path).turn(strays=True)
    assert _on_disk(tmp_path) == sorted([made.id, "file-young"])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"purpose": "fun"}, "purpose"),
        ({}, "purpose"),
        ({"purpose": "batch_output"}, "purpose"),
        ({"purpose": "vision", "colour": "red"}, "colour"),
        ({"purpose": "vision", "expires_after[anchor]": "now", "expires_after[seconds]": "3600"}, "expires_after.anchor"),
        ({"purpose": "vision", "expires_after[seconds]": "3600"}, "expires_after.anchor"),
        ({"purpose": "vision", "expires_after[anchor]": "created_at", "expires_after[seconds]": "3599"}, "expires_after.seconds"),
        ({"purpose": "vision", "expires_after[anchor]": "created_at", "expires_after[seconds]": "soon"}, "expires_after.seconds"),
    ],
)  # fmt: skip
async def test_file_is_refused_when_a_field_is_wrong(
    pages: Pages, fields: dict[str, str], param: str, tmp_path: Path
) -> None:
    """With a 400 that names the field; nothing is kept."""
    answer = await pages.http.post(
        "http://pages/v1/files",
        headers={"authorization": f"Bearer {DEFAULT_ORG}"},
        data=fields,
        files={"file": ("a.txt", b"abc")},
    )
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text
    assert _on_disk(tmp_path) == []


async def test_file_is_refused_when_it_is_no_file(pages: Pages, client: AsyncOpenAI, tmp_path: Path) -> None:
    """Without a part, without a name, empty, or with a body that is no form."""
    headers = {"authorization": f"Bearer {DEFAULT_ORG}"}
    form = {"content-type": "multipart/form-data; boundary=xx"}
    part = 'content-disposition: form-data; name="{}"{}\r\n\r\nabc\r\n'
    bodies: list[tuple[dict[str, str], str, str]] = [
        (form, "--xx\r\n" + part.format("purpose", "") + "--xx--\r\n", "missing_required_parameter"),
        (form, "--xx\r\n" + part.format("file", "") + "--xx--\r\n", "missing_required_parameter"),
        (form, "--xx\r\n" + part.format("file", '; filename="a"'), "invalid_form"),
        (form, "not a form at all", "invalid_form"),
        (form, "--xx\r\n\r\nabc\r\n--xx--\r\n", "invalid_form"),
        ({"content-type": "application/json"}, "{}", "invalid_content_type"),
        ({"content-type": "multipart/form-data"}, "--xx--", "invalid_content_type"),
    ]
    for more, body, code in bodies:
        answer = await pages.http.post("http://pages/v1/files", headers=headers | more, content=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code), answer.text
    with pytest.raises(BadRequestError, match="is empty"):
        await _put(client, data=b"")
    assert _on_disk(tmp_path) == []


async def test_file_is_refused_when_it_is_too_large(
    pages: Pages, client: AsyncOpenAI, tmp_path: Path
) -> None:
    """At the bound of its purpose, and where the organization has no room; deleting makes room."""
    with pytest.raises(APIStatusError, match="5,000,000") as large:
        await _put(client, data=bytes(LIMITS.file_bytes + 1))
    with pytest.raises(APIStatusError, match="2,000,000"):
        await _put(client, data=bytes(LIMITS.batch_bytes + 1), purpose="batch")
    assert large.value.status_code == 413
    first = await _put(client, data=bytes(LIMITS.file_bytes))
    with pytest.raises(APIStatusError, match="Delete files") as full:
        await _put(client, data=bytes(4_000_000))
    assert (full.value.status_code, full.value.code) == (403, "storage_quota_exceeded")
    assert _on_disk(tmp_path) == [first.id]
    await pages.openai("org_two").files.create(file=("a", bytes(4_000_000)), purpose="vision")
    await client.files.delete(first.id)
    await _put(client, data=bytes(4_000_000))


async def test_quota_holds_when_files_come_at_once(pages: Pages, client: AsyncOpenAI) -> None:
    """Of ten of which four fit, four are taken."""
    ten = (_put(client, data=bytes(1_900_000)) for _ in range(10))
    many = await asyncio.gather(*ten, return_exceptions=True)
    assert sum(not isinstance(each, BaseException) for each in many) == 4
    total = await pages.db.read(lambda conn: conn.execute(select(func.sum(files.c.bytes))).scalar())
    assert total == 4 * 1_900_000


async def test_file_is_made_once_when_sent_twice_with_a_key(client: AsyncOpenAI, tmp_path: Path) -> None:
    """The same bytes give the same file; other bytes under the key are refused."""
    headers = {"idempotency-key": "one"}
    first = await _put(client, extra_headers=headers)
    again = await _put(client, extra_headers=headers)
    assert again == first
    assert _on_disk(tmp_path) == [first.id]
    with pytest.raises(BadRequestError) as other:
        await _put(client, data=b"other bytes", extra_headers=headers)
    assert other.value.code == "idempotency_key_reused"
    assert _on_disk(tmp_path) == [first.id]


async def test_upload_becomes_a_file_when_completed(client: AsyncOpenAI, tmp_path: Path) -> None:
    """Of its parts in the order that the client says; the parts are gone, and it takes nothing more."""
    data = os.urandom(5_500_000)
    begun = await client.uploads.create(
        bytes=len(data), filename="big.bin", mime_type="application/octet-stream", purpose="user_data"
    )
    assert (begun.object, begun.status, begun.expires_at) == ("upload", "pending", int(NOW) + HOUR)
    second = await client.uploads.parts.create(begun.id, data=data[3_000_000:])
    first = await client.uploads.parts.create(begun.id, data=data[:3_000_000])
    assert (first.object, first.upload_id) == ("upload.part", begun.id)
    order = [first.id, second.id]
    done = await client.uploads.complete(begun.id, part_ids=order, md5=hashlib.md5(data).hexdigest())  # noqa: S324  # the API's own check
    assert done.status == "completed"
    assert done.file is not None
    assert (await client.files.content(done.file.id)).content == data
    assert _on_disk(tmp_path) == [done.file.id]
    for late in (client.uploads.complete(begun.id, part_ids=order), client.uploads.cancel(begun.id),
                 client.uploads.parts.create(begun.id, data=b"x")):  # fmt: skip
        with pytest.raises(ConflictError):
            await late
    assert _on_disk(tmp_path) == [done.file.id]


async def test_upload_is_uploaded_by_the_helper_when_chunked(client: AsyncOpenAI) -> None:
    """OpenAI's own helper, which cuts, sends and completes."""
    data = os.urandom(5_000_000)
    done = await client.uploads.upload_file_chunked(
        file=data,
        filename="x.bin",
        bytes=len(data),
        mime_type="a/b",
        purpose="user_data",
        part_size=1_500_000,
    )
    assert done.file is not None
    assert (await client.files.content(done.file.id)).content == data


async def test_upload_is_not_completed_when_its_parts_do_not_fit(client: AsyncOpenAI, tmp_path: Path) -> None:
    """Unknown or doubled parts, another size, another sum: 400 with the field, and it goes on."""
    begun = await client.uploads.create(bytes=6, filename="x", mime_type="a/b", purpose="vision")
    one = await client.uploads.parts.create(begun.id, data=b"abc")
    two = await client.uploads.parts.create(begun.id, data=b"def")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"part_ids": [one.id]}, "part_ids"),
        ({"part_ids": [one.id, one.id]}, "part_ids"),
        ({"part_ids": [one.id, "part_none"]}, "part_ids[1]"),
        ({"part_ids": []}, "part_ids"),
        ({"part_ids": [one.id, two.id], "md5": "0" * 32}, "md5"),
        ({"part_ids": [one.id, two.id], "md5": "short"}, "md5"),
    ]
    for body, param in wrong:
        with pytest.raises(BadRequestError) as refused:
            await client.uploads.complete(begun.id, **body)
        assert refused.value.param == param
    done = await client.uploads.complete(begun.id, part_ids=[two.id, one.id])
    assert done.file is not None
    assert (await client.files.content(done.file.id)).content == b"defabc"
    assert _on_disk(tmp_path) == [done.file.id]


async def test_one_file_comes_when_an_upload_is_completed_at_once(
    client: AsyncOpenAI, tmp_path: Path
) -> None:
    """One of five completes it; the others leave nothing behind."""
    begun = await client.uploads.create(bytes=3, filename="x", mime_type="a/b", purpose="vision")
    part = await client.uploads.parts.create(begun.id, data=b"abc")
    many = await asyncio.gather(
        *(client.uploads.complete(begun.id, part_ids=[part.id]) for _ in range(5)), return_exceptions=True
    )
    done = [each for each in many if not isinstance(each, BaseException)]
    assert len(done) == 1
    assert done[0].file is not None
    assert _on_disk(tmp_path) == [done[0].file.id]


async def test_upload_ends_when_cancelled_or_late(pages: Pages, client: AsyncOpenAI, tmp_path: Path) -> None:
    """Its parts are gone from disk and from the quota."""
    given_up = await client.uploads.create(bytes=3, filename="x", mime_type="a/b", purpose="vision")
    await client.uploads.parts.create(given_up.id, data=b"abc")
    assert (await client.uploads.cancel(given_up.id)).status == "cancelled"
    assert _on_disk(tmp_path) == []
    late = await client.uploads.create(bytes=3, filename="x", mime_type="a/b", purpose="vision")
    part = await client.uploads.parts.create(late.id, data=b"abc")
    pages.clock.advance(HOUR)
    with pytest.raises(ConflictError):
        await client.uploads.complete(late.id, part_ids=[part.id])
    assert await _clearing(pages, tmp_path).turn(strays=False) == 1
    assert _on_disk(tmp_path) == []

    def left(conn: Connection) -> tuple[list[str], int]:
        states = list(conn.execute(select(uploads.c.state).order_by(uploads.c.state)).scalars())
        return states, conn.execute(select(func.count()).select_from(upload_parts)).scalar_one()

    assert await pages.db.read(left) == (["cancelled", "expired"], 0)


async def test_upload_is_nobody_elses_when_named(pages: Pages, client: AsyncOpenAI) -> None:
    """Another organization can add nothing to it, and neither end nor cancel it."""
    begun = await client.uploads.create(bytes=3, filename="x", mime_type="a/b", purpose="vision")
    part = await client.uploads.parts.create(begun.id, data=b"abc")
    other = pages.openai("org_two")
    for ask in (other.uploads.cancel(begun.id), other.uploads.complete(begun.id, part_ids=[part.id]),
                other.uploads.parts.create(begun.id, data=io.BytesIO(b"abc"))):  # fmt: skip
        with pytest.raises(NotFoundError):
            await ask
    assert (await client.uploads.complete(begun.id, part_ids=[part.id])).status == "completed"


@pytest.mark.parametrize(
    ("change", "param"),
    [({"bytes": 0}, "bytes"), ({"bytes": 6_000_001}, "bytes"), ({"purpose": "x"}, "purpose"), ({"filename": ""}, "filename"),
     ({"mime_type": ""}, "mime_type"), ({"expires_after": {"anchor": "created_at", "seconds": 1}}, "expires_after.seconds"),
     ({"colour": "red"}, "colour")],
)  # fmt: skip
async def test_upload_is_refused_when_a_field_is_wrong(
    client: AsyncOpenAI, change: dict[str, Any], param: str
) -> None:
    """With the field that is."""
    body = {"bytes": 3, "filename": "x", "mime_type": "a/b", "purpose": "vision"} | change
    with pytest.raises(APIStatusError) as refused:
        await client.post("/uploads", body=body, cast_to=object)
    assert refused.value.status_code in {400, 413}
    assert refused.value.param == param
