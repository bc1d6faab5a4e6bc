"""The statements about people and organizations: what is single, what is scoped, what is never changed."""

import inspect
import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ingot.store import accounts, audit, members, organizations, sessions
from ingot.store.accounts import UserRow
from ingot.store.database import Database
from ingot.store.engine import open_database
from ingot.store.faults import StoreConflict
from ingot.store.sessions import SessionRow
from repository import python_files

HOUR = 3_600_000_000
ADA = UserRow("user_1", "ada@example.org", "hash", created_at=1)

UNSCOPED = {
    "invitation_by_digest",  # the token is the right: its holder belongs to no organization yet
    "list_organizations",  # for operators
    "memberships",  # by user
    "organizations_named",  # for operators
    "owned_on_plan",  # by user
    "plan_id",
    "plan_names",
    "sole_organization",  # for operators
}
"""Functions about organizations that no single organization owns."""


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    """A store with one user."""
    async with open_database(tmp_path) as opened:
        await opened.write(partial(accounts.insert_user, row=ADA))
        yield opened


def statements(module: Any) -> list[tuple[str, Callable[..., Any]]]:
    """The public functions of a module of statements that take a connection."""
    found = inspect.getmembers(module, inspect.isfunction)
    return [
        (name, function)
        for name, function in found
        if function.__module__ == module.__name__
        and not name.startswith("_")
        and next(iter(inspect.signature(function).parameters), "") == "conn"
    ]


def test_organization_comes_first_in_every_statement_about_one() -> None:
    """S08: what belongs to an organization cannot be asked for without naming it."""
    checked = [*statements(members), *statements(organizations), *statements(audit)]
    assert len(checked) > 20
    loose = {
        name for name, function in checked if list(inspect.signature(function).parameters)[1:2] != ["org_id"]
    }
    assert loose - UNSCOPED - {"insert_organization"} == set()


def test_audit_rows_are_only_ever_added() -> None:
    """S21: no statement of the source changes or deletes one."""
    touching = [
        path.name
        for path in python_files("src")
        if re.search(
            r"\b(update|delete)\((schema\.)?audit\b|\baudit\.(update|delete)\(",
            path.read_text(encoding="utf-8"),
        )
    ]
    assert touching == []


async def test_address_is_taken_once(db: Database) -> None:
    """The database refuses a second account for an address."""
    with pytest.raises(StoreConflict):
        await db.write(partial(accounts.insert_user, row=UserRow("user_2", ADA.email, None, created_at=2)))


async def test_link_is_used_once_when_two_try(db: Database) -> None:
    """One update finds it unused; its purpose and its end are part of the condition."""
    link = partial(accounts.insert_link, user_id=ADA.id, purpose="reset", digest=b"d", at=1, expires=HOUR)
    await db.write(link)
    use = partial(accounts.use_link, digest=b"d")
    assert not await db.write(partial(use, purpose="verify", now=2))
    assert not await db.write(partial(use, purpose="reset", now=HOUR))
    assert [await db.write(partial(use, purpose="reset", now=2)) for _ in range(2)] == [True, False]
    assert not await db.write(partial(accounts.remint_link, digest=b"d", new=b"e", now=3))


async def test_session_is_found_only_while_it_lives(db: Database) -> None:
    """Not when idle, over, renamed, ended, or its user disabled; what is over is deleted in passing."""
    rows = [SessionRow(digest, ADA.id, 1, 1, HOUR) for digest in (b"a", b"b", b"c")]
    for row in rows:
        await db.write(partial(sessions.insert_session, row=row))

    async def live(digest: bytes, *, now: int = 2, idle_since: int = 0) -> bool:
        found = await db.read(partial(sessions.live_session, digest=digest, now=now, idle_since=idle_since))
        return found is not None

    assert await live(b"a")
    assert not await live(b"a", now=HOUR)
    assert not await live(b"a", idle_since=1)
    assert await db.write(partial(sessions.rename_session, digest=b"a", new=b"n", at=2))
    assert not await live(b"a")
    assert await live(b"n")
    assert not await db.write(partial(sessions.rename_session, digest=b"a", new=b"m", at=2))
    assert await db.write(partial(sessions.end_sessions, user_id=ADA.id, keep=b"n")) == 2
    assert not await live(b"b")
    await db.write(partial(accounts.set_disabled, user_id=ADA.id, at=2))
    assert not await live(b"n")
    assert await db.write(partial(sessions.prune_sessions, now=HOUR, idle_since=0)) == 1
