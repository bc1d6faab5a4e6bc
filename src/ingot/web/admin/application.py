"""The ASGI application of the admin API: takes a call through its guards, in one order, and answers in one shape.

Decides the order; each guard is elsewhere. A fault of ours is logged with its request id and told without its cause.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ingot.errors import ApiError, Conflict, MethodNotAllowed, NotFound, Overloaded
from ingot.ids import new_id
from ingot.logs import Log
from ingot.services.accounts import Accounts
from ingot.services.accounts.gate import Access, needs_organization
from ingot.services.accounts.permissions import ANYONE, PERMISSIONS
from ingot.services.accounts.records import Caller
from ingot.services.changes import Changes, Told
from ingot.store.faults import StoreConflict, StoreError
from ingot.web.admin.describe import describe
from ingot.web.admin.guard import (
    JSON,
    SAFE_METHODS,
    Cookies,
    check_json,
    check_origin,
    origin_of,
    presented_key,
)
from ingot.web.admin.reading import decode_body, decode_query, read_body, refuse_query
from ingot.web.admin.retries import make_once, replay_header, retry_key
from ingot.web.admin.routes import PREFIX, AdminRoute, Answer, Call, Download
from ingot.web.errors import UNDRESSED, as_response, broken, tell
from ingot.web.intake import Hosts, read_request_id
from ingot.web.proxies import Proxies

DESCRIPTION = f"{PREFIX}/openapi.json"
_SEGMENT = r"[^/]{1,200}"


@dataclass(frozen=True, slots=True)
class _Place:
    """The routes of one path, by method."""

    path: str
    pattern: re.Pattern[str]
    rows: dict[str, AdminRoute] = field(default_factory=dict)


class AdminApi:
    """Answers whatever is asked below /admin."""

    def __init__(
        self,
        accounts: Accounts,
        routes: Sequence[AdminRoute],
        *,
        changes: Changes,
        hosts: Hosts,
        proxies: Proxies,
        log: Log,
    ) -> None:
        """Raises ValueError for a table that contradicts itself."""
        own = AdminRoute(
            "GET", DESCRIPTION, self._describe, action=ANYONE, description="This description of the admin API"
        )
        self.routes: tuple[AdminRoute, ...] = (*routes, own)
        self._gate = accounts.gate
        self._changes = changes
        self._hosts = hosts
        self._proxies = proxies
        self._log = log
        self._cookies = Cookies(accounts.config.url)
        self._origin = origin_of(accounts.config.url)
        self._places = _places(self.routes)
        self._description = msgspec.Raw(describe(self.routes, cookie=self._cookies.name))

    def name_path(self, path: str) -> str | None:
        """The path as the route table has it, without anybody's ids, for logs; None where nothing answers."""
        found = self._find(path)
        return None if found is None else found[0].path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        request = Request(scope, receive)
        request_id = read_request_id(request.headers.get("x-request-id", "").encode("latin-1"), new_id)
        try:
            response = await self._serve(request)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001  # the last line: it is logged, and the client gets an answer
            response = self._refuse(error, request_id)
        response.headers["x-request-id"] = request_id
        response.headers["cache-control"] = "no-store"
        response.headers["x-content-type-options"] = "nosniff"
        await response(scope, receive, send)

    async def _serve(self, request: Request) -> Response:
        self._hosts.check(request.headers.get("host", "").encode("latin-1"))
        row, ids = self._route(request)
        peer = None if request.client is None else request.client.host
        address = self._proxies.client(peer, request.headers.raw)
        caller, session = await self._identify(request, address)
        self._gate.admit(caller, row.action)
        access: Access | None = None
        if caller is not None and needs_organization(row.action):
            access = await self._gate.enter(caller, row.action, org_id=ids["org"])
        call = Call(
            caller=caller,
            access=access,
            path=ids,
            body=await _body(request, row),
            query=_query(request, row),
            address=address,
            session=session,
            accept=request.headers.get("accept", ""),
        )
        key = retry_key(request, row)
        if key is None:
            answer = await row.handler(call)
            if isinstance(answer.value, Download):
                return _download(request, answer.value)
            return self._respond(Told(row.status, msgspec.json.encode(answer.value)), answer)
        return self._respond(*await make_once(self._changes, row, call, key=key, path=request.url.path))

    def _route(self, request: Request) -> tuple[AdminRoute, dict[str, str]]:
        path = request.url.path
        found = self._find(path)
        if found is None:
            text = f"Nothing answers at {path[:200]}. GET {DESCRIPTION} lists every path."
            raise NotFound(text, code="unknown_url")
        place, ids = found
        row = place.rows.get("GET" if request.method == "HEAD" else request.method)
        if row is None:
            allow = tuple(place.rows)
            text = f"{place.path} takes {', '.join(allow)}, not {request.method[:20]}."
            raise MethodNotAllowed(text, allow=allow)
        return row, ids

    def _find(self, path: str) -> tuple[_Place, dict[str, str]] | None:
        for place in self._places:
            match = place.pattern.fullmatch(path)
            if match is not None:
                return place, match.groupdict()
        return None

    async def _identify(self, request: Request, address: str | None) -> tuple[Caller | None, str | None]:
        """Who calls, and the token in the cookie; a key in a header counts before a cookie."""
        token = presented_key(request)
        if token is not None:
            return await self._gate.by_key(token, address=address), None
        check_origin(request, self._origin)
        session = self._cookies.read(request)
        return None if session is None else await self._gate.by_session(session), session

    def _respond(self, told: Told, answer: Answer | None) -> Response:
        """The answer on the wire; without a handler's own it is a kept one, which brings no session along."""
        response = Response(told.body, status_code=told.status, media_type=JSON)
        if answer is None:
            name, value = replay_header()
            response.headers[name] = value
        elif answer.session is not None:
            response.headers["set-cookie"] = self._cookies.put(answer.session)
        elif answer.forget:
            response.headers["set-cookie"] = self._cookies.drop()
        return response

    def _refuse(self, error: Exception, request_id: str) -> Response:
        told = error if isinstance(error, ApiError) else self._translate(error, request_id)
        return as_response(tell(told, request_id, encode=UNDRESSED, longest=math.inf))

    def _translate(self, error: Exception, request_id: str) -> ApiError:
        if isinstance(error, StoreConflict):
            return Conflict("Somebody changed the same thing at this moment. Look at it, then try again.")
        self._log.error("admin request failed", request_id=request_id, exc_info=error)
        if isinstance(error, StoreError):
            return Overloaded("The database does not answer now. Try again in a moment.", retry_after=5.0)
        return broken()

    async def _describe(self, _: Call) -> Answer:
        return Answer(self._description)


def _download(request: Request, file: Download) -> Response:
    """A file in pieces: each is made when the client has taken the one before."""
    headers = {"content-disposition": f'attachment; filename="{file.name}"'}
    if request.method == "HEAD":
        return Response(media_type=file.media_type, headers=headers)
    return StreamingResponse(file.pieces, media_type=file.media_type, headers=headers)


async def _body(request: Request, row: AdminRoute) -> object:
    if request.method in SAFE_METHODS:
        return None
    data = await read_body(request)
    check_json(request, expected=row.body is not None or bool(data))
    return None if row.body is None else decode_body(data, row.body)


def _query(request: Request, row: AdminRoute) -> object:
    if row.query is not None:
        return decode_query(request.query_params, row.query)
    refuse_query(request.query_params)
    return None


def _places(routes: Iterable[AdminRoute]) -> list[_Place]:
    """The paths with their patterns, those without parameters first."""
    places: dict[str, _Place] = {}
    for row in routes:
        if not row.path.startswith(f"{PREFIX}/"):
            raise ValueError(f"{row.name} is not below {PREFIX}.")
        if needs_organization(row.action):
            if row.action not in PERMISSIONS:
                raise ValueError(
                    f"{row.name} needs '{row.action}', which the table of permissions does not have."
                )
            if "{org}" not in row.path:
                raise ValueError(f"{row.name} needs the organization's id, {{org}}, in its path.")
        if row.path not in places:
            pattern = re.sub(r"\\\{(\w+)\\\}", rf"(?P<\1>{_SEGMENT})", re.escape(row.path))
            places[row.path] = _Place(row.path, re.compile(pattern))
        if row.method in places[row.path].rows:
            raise ValueError(f"{row.name} is in the table twice.")
        places[row.path].rows[row.method] = row
    return sorted(places.values(), key=lambda place: place.path.count("{"))
