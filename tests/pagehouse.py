"""The pages of a store without a server: called in process, by raw requests and by OpenAI's client."""

import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from databases import Place, open_store
from ingot.addresses import Reach
from ingot.clock import ManualClock
from ingot.config import LimitsConfig
from ingot.config.clientfiles import FilesConfig
from ingot.dialects.chat import CHAT
from ingot.errors import ApiError
from ingot.services.answers import Answers
from ingot.services.changes import Changes
from ingot.services.conversations import Conversations
from ingot.services.files import Files
from ingot.services.grants import Grant
from ingot.services.hitrates import HitRates
from ingot.services.idempotency import Retries
from ingot.services.kept import Responses
from ingot.services.keys import Principal
from ingot.services.requestlog import RequestLog
from ingot.services.runtime import Runtime
from ingot.services.uploads import Uploads
from ingot.services.usage import Usage
from ingot.services.webhooks.endpoints import Endpoints
from ingot.store.blobs import Blobs
from ingot.store.database import Database
from ingot.upstream.fetch import Fetched, FetchFault
from ingot.web import conversations, files, quotes, responses, stored, usage, webhooks
from ingot.web import query as routes
from keyhouse import Lines
from ledgerbook import NOW

CONTENTLESS = "org_contentless"
"""An organization that keeps prompts and answers out of the store."""


@dataclass(frozen=True, slots=True)
class Pages:
    """A store, and the pages over it; the bearer token of a request is the name of its organization."""

    db: Database
    clock: ManualClock
    http: httpx2.AsyncClient

    def openai(self, org_id: str) -> AsyncOpenAI:
        """OpenAI's own client, acting for an organization."""
        return AsyncOpenAI(api_key=org_id, base_url="http://pages/v1", http_client=self.http, max_retries=0)

    async def call(
        self,
        path: str,
        *,
        org: str = "org_default",
        method: str = "GET",
        body: bytes | None = None,
        key: str | None = None,
    ) -> tuple[int, bytes]:
        """Status and body of one request, with an idempotency key where there is one."""
        headers = {"authorization": f"Bearer {org}"} | ({"idempotency-key": key} if key else {})
        answer = await self.http.request(method, f"http://pages{path}", headers=headers, content=body)
        return answer.status_code, answer.content


@asynccontextmanager
async def open_pages(
    place: Place, *, blobs: Path = Path("/nowhere"), limits: FilesConfig | None = None
) -> AsyncIterator[Pages]:
    """An empty store at a place, with its pages; `blobs` is where files lie."""
    clock = ManualClock(NOW)
    async with open_store(place, clock=clock) as db:
        retries = await Retries.open(db, clock=clock, log=Lines())
        app = _application(db, clock, retries, blobs=blobs, limits=limits)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app)) as http:
            yield Pages(db, clock, http)
        await retries.close()


def _nowhere() -> Runtime:
    raise AssertionError("pages that need a whole server are asked of one")


class Unreached:
    """A network on which no receiver answers."""

    async def post(
        self,
        url: str,  # noqa: ARG002  # the protocol's names
        *,
        headers: Mapping[str, str],  # noqa: ARG002  # as above
        body: bytes,  # noqa: ARG002  # as above
        limit: int,  # noqa: ARG002  # as above
        seconds: float,
    ) -> Fetched:
        raise FetchFault(f"names a host that does not answer within {seconds:g} s")


def all_pages(
    db: Database, clock: ManualClock, retries: Retries, *, blobs: Path, limits: FilesConfig | None = None
) -> routes.Pages:
    """The handlers of all pages over a store and a directory of files, by path and method."""
    limits = limits or FilesConfig()

    async def organization(request: Request) -> str:
        return request.headers["authorization"].removeprefix("Bearer ")

    async def caller(request: Request) -> Principal:
        org_id = await organization(request)
        return Principal(
            "key_one", "kid", "one", org_id, "inference", Grant(keep_content=org_id != CONTENTLESS)
        )

    return {
        **stored.pages(Answers(db, clock=clock), organization=organization),
        **responses.pages(Responses(db, clock=clock), organization=organization, kept=True),
        **conversations.pages(
            Conversations(db, clock=clock, content=True),
            caller=caller,
            changes=Changes(db, retries, digest=_digest, clock=clock),
            limits=LimitsConfig(),
        ),
        **files.pages(
            Uploads(db, Files(db, Blobs(blobs), limits=limits, clock=clock), clock=clock),
            caller=caller,
            changes=Changes(db, retries, digest=_digest, clock=clock),
        ),
        **quotes.pages(
            _nowhere, {}, {}, files=Files(db, Blobs(blobs), limits=limits, clock=clock), caller=caller
        ),
        **quotes.window_pages(_nowhere, HitRates(db, clock=clock), caller=caller),
        **webhooks.pages(
            Endpoints(db, reach=Reach(), poster=Unreached(), digest=_digest, clock=clock),
            caller=caller,
            changes=Changes(db, retries, digest=_digest, clock=clock),
        ),
        **usage.pages(Usage(db, clock=clock), RequestLog(db, clock=clock), organization=organization),
    }


def _application(
    db: Database, clock: ManualClock, retries: Retries, *, blobs: Path, limits: FilesConfig | None
) -> Starlette:
    found = all_pages(db, clock, retries, blobs=blobs, limits=limits)
    return Starlette(
        routes=[Route(path, routes.by_method(own), methods=list(own)) for path, own in found.items()],
        exception_handlers={ApiError: _refuse},
    )


def _digest(data: bytes) -> bytes:
    return hmac.digest(b"pepper of the tests", data, "sha256")


async def _refuse(_: Request, error: Any) -> Response:
    status, body = CHAT.encode_error(error, "req_1")
    return Response(body, status_code=status)
