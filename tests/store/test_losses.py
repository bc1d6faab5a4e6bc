"""What a translation left out is kept as long as the content that it names, and no longer; on both databases."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, select, update

from databases import Place, open_store
from ingot.store import idempotency
from ingot.store.requestlog import RequestFilter, list_requests
from ingot.store.responses import delete_response, erase_responses, sweep
from ingot.store.schema import DEFAULT_ORG, micros, organizations, response_losses
from ingot.store.settle import Settlement, settle
from ledgerbook import NOW

LOSSES = '[{"path":"seed","reason":"no such setting"}]'


def _answered(number: int, losses: str | None) -> Settlement:
    return Settlement(
        id=f"resp_{number}",
        public_id=f"chatcmpl-{number}",
        org_id=DEFAULT_ORG,
        key_id="key_a",
        surface="chat",
        model="m",
        target="up",
        status=200,
        state="completed",
        window="asap",
        fidelity="translated",
        created_at=micros(NOW) + number,
        finished_at=micros(NOW) + number,
        request_id="req_1",
        billable=False,
        request=b"{}",
        answer=b"{}",
        losses=losses,
        expires_at=micros(NOW) + 100,
    )


def _left(conn: Connection) -> list[str]:
    return list(conn.execute(select(response_losses.c.response_id).order_by("response_id")).scalars())


def _fill(conn: Connection) -> None:
    settle(conn, [_answered(1, LOSSES), _answered(2, None), _answered(3, LOSSES)])


def _delete_organization(conn: Connection) -> None:
    conn.execute(update(organizations).where(organizations.c.id == DEFAULT_ORG).values(deleted_at=1))


async def test_losses_are_told_when_requests_are_listed(backend: Place) -> None:
    """Each request once, with its own or none."""
    async with open_store(backend) as db:
        await db.write(_fill)
        page = await db.read(
            lambda conn: list_requests(conn, DEFAULT_ORG, RequestFilter(), after=None, limit=9)
        )
    assert [(row.id, row.losses) for row in page.rows] == [
        ("resp_3", LOSSES),
        ("resp_2", None),
        ("resp_1", LOSSES),
    ]


@pytest.mark.parametrize(
    ("erase", "left"),
    [
        (lambda conn: delete_response(conn, DEFAULT_ORG, "resp_1"), ["resp_3"]),
        (lambda conn: delete_response(conn, DEFAULT_ORG, "resp_1", completed=False), ["resp_3"]),
        (lambda conn: sweep(conn, micros(NOW) + 200), []),
        (lambda conn: erase_responses(conn, DEFAULT_ORG), []),
    ],
    ids=["deleted", "deleted unfinished", "expired", "erased"],
)
async def test_losses_go_when_the_content_goes(
    backend: Place, erase: Callable[[Connection], object], left: list[str]
) -> None:
    """They name what clients wrote."""
    async with open_store(backend) as db:
        await db.write(_fill)
        await db.write(erase)
        assert await db.read(_left) == left


async def test_losses_are_not_kept_when_the_organization_was_deleted_meanwhile(backend: Place) -> None:
    """As its answers are not."""
    async with open_store(backend) as db:
        await db.write(_delete_organization)
        await db.write(_fill)
        assert await db.read(_left) == []


@pytest.mark.parametrize(
    ("erase", "left"),
    [
        (lambda conn: idempotency.sweep(conn, micros(NOW) + 2 * idempotency.KEEP), ["resp_3"]),
        (lambda conn: idempotency.erase(conn, DEFAULT_ORG), ["resp_3"]),
        (lambda conn: erase_responses(conn, DEFAULT_ORG), []),
    ],
    ids=["expired", "ended", "erased"],
)
async def test_losses_go_with_the_retry_when_content_is_not_kept(
    backend: Place, erase: Callable[[Connection], object], left: list[str]
) -> None:
    """Those of an answer that is kept for its retries alone go with that; until then a retry is told them."""

    def fill(conn: Connection) -> None:
        scope = idempotency.Scope(DEFAULT_ORG, "key_a")
        now = micros(NOW)
        for each, key in ((_answered(1, LOSSES), "bare"), (_answered(3, LOSSES), "stored")):
            lead = idempotency.claim(
                conn,
                scope,
                key=key,
                path="/v1/chat/completions",
                fingerprint=b"f",
                response_id=each.id,
                owner="me",
                now=now,
            )
            assert isinstance(lead, idempotency.Lead)
            bare = {"request": None, "answer": None, "expires_at": None} if key == "bare" else {}
            settle(conn, [replace(each, lead=lead, given=b"{}", **bare)])
            found = idempotency.find(conn, scope, key=key, now=now)
            assert isinstance(found, idempotency.Kept)
            assert found.losses == LOSSES

    async with open_store(backend) as db:
        await db.write(fill)
        assert await db.read(_left) == ["resp_1", "resp_3"]
        await db.write(erase)
        assert await db.read(_left) == left
