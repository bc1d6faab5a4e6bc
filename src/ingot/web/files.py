"""`/v1/files` and `/v1/uploads` on the wire.

    GET, POST         /v1/files
    GET, DELETE       /v1/files/{id}
    GET               /v1/files/{id}/content
    POST              /v1/uploads
    POST              /v1/uploads/{id}/parts, /complete, /cancel

Reads queries, bodies and forms; the bytes of a file go to disk as they come and leave as they are read. What is made is
made once for each Idempotency-Key: a retry is the same where its bytes are. Source: contract §4.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, BinaryIO
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ingot import rawjson
from ingot.dialects import files as wire
from ingot.errors import InvalidRequest
from ingot.rawjson import clip
from ingot.services.changes import Changes
from ingot.services.files import on_disk
from ingot.services.uploads import Uploads
from ingot.store.blobs import PIECE, Draft
from ingot.store.files import FileRow
from ingot.store.responses import is_plain
from ingot.web.intake import read_bounded
from ingot.web.multipart import read_form
from ingot.web.once import JSON, Caller, make_once
from ingot.web.query import Handler, Pages, check_names, read_limit, read_order, single

PATH = "/v1/files"
UPLOADS = "/v1/uploads"
BODY_BYTES = 512 * 1024
"""Ten thousand ids of parts fit."""


def pages(uploads: Uploads, *, caller: Caller, changes: Changes) -> Pages:
    """The handlers by path and method; a path with more segments stands first."""
    return _files(uploads, caller, changes) | _uploads(uploads, caller, changes)


def _files(uploads: Uploads, caller: Caller, changes: Changes) -> Pages:
    files = uploads.files

    async def create(request: Request) -> Response:
        who = await caller(request)
        async with _draft(uploads) as draft:
            form = await read_form(request, draft, name="file", most=files.limits.file_bytes)
            wanted = wire.decode_form(form.fields)
            name = wire.check_name(form.filename)
            same = {"filename": name, "sha256": draft.sha256.hexdigest(), **msgspec.to_builtins(wanted)}
            return await make_once(
                changes,
                request,
                who,
                body=same,
                make=lambda keep: files.create(who, draft, filename=name, wanted=wanted, keep=keep),
            )

    async def list_files(request: Request) -> Response:
        who = await caller(request)
        query = single(request.query_params)
        check_names(query, ("after", "limit", "order", "purpose"))
        purpose, after = query.get("purpose"), query.get("after")
        if purpose is not None and purpose not in wire.PURPOSES:
            raise InvalidRequest(
                f"'purpose' must be one of {', '.join(wire.PURPOSES)}, but got '{clip(purpose)}'.",
                param="purpose",
            )
        if after is not None and not is_plain(after):
            raise InvalidRequest("'after' is empty, too long or no text.", param="after")
        limit = read_limit(query, default=10_000, most=10_000)
        descending = read_order(query, default="desc")
        return _json(
            await files.list(who.org_id, purpose=purpose, after=after, limit=limit, descending=descending)
        )

    async def read(request: Request) -> Response:
        return _json(await files.read((await caller(request)).org_id, request.path_params["id"]))

    async def content(request: Request) -> Response:
        who = await caller(request)
        return _Content(*await files.content(who.org_id, request.path_params["id"]))

    async def delete(request: Request) -> Response:
        return _json(await files.delete((await caller(request)).org_id, request.path_params["id"]))

    one: dict[str, Handler] = {"GET": read, "DELETE": delete}
    return {
        PATH: {"GET": list_files, "POST": create},
        f"{PATH}/{{id}}/content": {"GET": content},
        f"{PATH}/{{id}}": one,
    }


def _uploads(uploads: Uploads, caller: Caller, changes: Changes) -> Pages:
    async def create(request: Request) -> Response:
        who = await caller(request)
        body = await _body(request)
        wanted = wire.decode_upload(body)
        return await make_once(
            changes, request, who, body=body, make=lambda keep: uploads.create(who, wanted, keep=keep)
        )

    async def add(request: Request) -> Response:
        who = await caller(request)
        which = request.path_params["id"]
        await uploads.pending(who.org_id, which)
        async with _draft(uploads) as draft:
            form = await read_form(request, draft, name="data", most=uploads.files.limits.part_bytes)
            if form.fields:
                name = next(iter(form.fields))
                raise InvalidRequest(
                    f"The form of a part has 'data' alone, not '{clip(name)}'.", param=clip(name)
                )
            return await make_once(
                changes,
                request,
                who,
                body={"sha256": draft.sha256.hexdigest()},
                make=lambda keep: uploads.add(who, which, draft, keep=keep),
            )

    async def complete(request: Request) -> Response:
        who = await caller(request)
        which = request.path_params["id"]
        body = await _body(request)
        wanted = wire.decode_completion(body)
        return await make_once(
            changes,
            request,
            who,
            body=body,
            make=lambda keep: uploads.complete(who, which, wanted, keep=keep),
        )

    async def cancel(request: Request) -> Response:
        return _json(await uploads.cancel(await caller(request), request.path_params["id"]))

    return {
        UPLOADS: {"POST": create},
        f"{UPLOADS}/{{id}}/parts": {"POST": add},
        f"{UPLOADS}/{{id}}/complete": {"POST": complete},
        f"{UPLOADS}/{{id}}/cancel": {"POST": cancel},
    }


class _Content(StreamingResponse):
    """The bytes of a file, a piece at a time; its handle is closed whatever becomes of the answer."""

    def __init__(self, handle: BinaryIO, row: FileRow) -> None:
        headers = {
            "content-length": str(row.bytes),
            "content-disposition": f"attachment; filename*=utf-8''{quote(row.filename)}",
        }
        super().__init__(self._pieces(), media_type="application/octet-stream", headers=headers)
        self._handle = handle

    async def _pieces(self) -> AsyncIterator[bytes]:
        while piece := await on_disk(lambda: self._handle.read(PIECE)):
            yield piece

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._handle.close()


@asynccontextmanager
async def _draft(uploads: Uploads) -> AsyncIterator[Draft]:
    """A draft that does not outlive its request unless it was kept."""
    draft = await uploads.files.begin()
    try:
        yield draft
    finally:
        await on_disk(draft.discard)


async def _body(request: Request) -> dict[str, Any]:
    return rawjson.parse(await read_bounded(request, BODY_BYTES)).value


def _json(body: bytes) -> Response:
    return Response(body, media_type=JSON)
