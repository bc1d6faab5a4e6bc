"""Retries of the admin API: which calls carry an idempotency key that counts, whose it is, and what it stands for.

A key counts on every route that changes something by POST or PUT, but for those that take a password or open or end a
session (`AdminRoute.keyless`): what they answer is a session, which is never given twice. Elsewhere the header means
nothing, as a GET, a PATCH or a DELETE may be sent again anyway. Decides nothing about the change itself.
"""

from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import Connection
from starlette.requests import Request

from ingot.idempotency import HEADER, REPLAYED, read_key
from ingot.services.changes import Changes, Scope, Told, Wish
from ingot.services.keeping import Keep
from ingot.web.admin.routes import AdminRoute, Answer, Call

ACCOUNT = "account"
"""Stands for the organization in the scope of what a person does that is about none."""


def retry_key(request: Request, row: AdminRoute) -> str | None:
    """The idempotency key of a call, None where it has none that counts; raises InvalidRequest."""
    if not row.keyed:
        return None
    return read_key([value.encode("latin-1") for value in request.headers.getlist(HEADER)])


async def make_once(
    changes: Changes, row: AdminRoute, call: Call, *, key: str, path: str
) -> tuple[Told, Answer | None]:
    """What the call is told, and the handler's own answer where it was this call that made the change."""
    answers: list[Answer] = []

    async def work(keep: Keep[Told]) -> Told:
        def store(conn: Connection, value: Any) -> None:
            keep(conn, _told(row, value))

        answer = await row.handler(replace(call, store=store))
        answers.append(answer)
        return _told(row, answer.value)

    told = await changes.make(_wish(row, call, key=key, path=path), work)
    return told, None if told.replayed else answers[-1]


def replay_header() -> tuple[str, str]:
    """The header that tells a kept answer from a new one, as on the inference surfaces."""
    name, _, value = REPLAYED.decode().strip().partition(": ")
    return name, value


def _wish(row: AdminRoute, call: Call, *, key: str, path: str) -> Wish:
    """The key belongs to who calls, and to the organization in the path, else to the caller's own."""
    caller = call.who
    org_id = call.org_id if call.access is not None else caller.key_org or ACCOUNT
    body = {} if call.body is None else msgspec.to_builtins(call.body)
    return Wish(Scope(org_id, caller.actor), key, row.method, path, body)


def _told(row: AdminRoute, value: Any) -> Told:
    return Told(row.status, msgspec.json.encode(value))
