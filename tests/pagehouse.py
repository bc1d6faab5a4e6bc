"""The pages of a store without a server: called in process, by raw requests and by OpenAI's client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from databases import Place, open_store
from ingot.clock import ManualClock
from ingot.dialects.chat import CHAT
from ingot.errors import ApiError
from ingot.services.answers import Answers
from ingot.services.requestlog import RequestLog
from ingot.services.usage import Usage
from ingot.store.database import Database
from ingot.web import stored, usage
from ingot.web.query import by_method
from ledgerbook import NOW


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
        self, path: str, *, org: str = "org_default", method: str = "GET", body: bytes | None = None
    ) -> tuple[int, bytes]:
        """Status and body of one request."""
        answer = await self.http.request(
            method, f"http://pages{path}", headers={"authorization": f"Bearer {org}"}, content=body
        )
        return answer.status_code, answer.content


@asynccontextmanager
async def open_pages(place: Place) -> AsyncIterator[Pages]:
    """An empty store at a place, with its pages."""
    clock = ManualClock(NOW)
    async with open_store(place, clock=clock) as db:
        app = _application(db, clock)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app)) as http:
            yield Pages(db, clock, http)


def _application(db: Database, clock: ManualClock) -> Starlette:
    async def organization(request: Request) -> str:
        return request.headers["authorization"].removeprefix("Bearer ")

    all_pages = {
        **stored.pages(Answers(db, clock=clock), organization=organization),
        **usage.pages(Usage(db, clock=clock), RequestLog(db, clock=clock), organization=organization),
    }
    return Starlette(
        routes=[Route(path, by_method(own), methods=list(own)) for path, own in all_pages.items()],
        exception_handlers={ApiError: _refuse},
    )


async def _refuse(_: Request, error: Any) -> Response:
    status, body = CHAT.encode_error(error, "req_1")
    return Response(body, status_code=status)
