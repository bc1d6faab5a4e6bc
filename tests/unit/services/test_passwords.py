"""Passwords: what a hash is, what a comparison tells, how many run at once."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from argon2 import PasswordHasher

from adminhouse import cheap_passwords
from ingot.errors import InvalidRequest, Overloaded
from ingot.services.accounts.passwords import SLOTS, Passwords


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    """A hasher at the lowest cost."""
    opened = cheap_passwords()
    yield opened
    opened.close()


async def test_hash_is_argon2id_with_its_own_salt(passwords: Passwords) -> None:
    """Two hashes of one password differ, and both match it alone."""
    first, second = [await passwords.hash("correct horse") for _ in range(2)]
    assert first.startswith("$argon2id$")
    assert first != second
    for stored in (first, second):
        assert await passwords.matches(stored, "correct horse")
        assert not await passwords.matches(stored, "Correct horse")


@pytest.mark.parametrize("stored", [None, "no hash at all", ""])
async def test_nothing_matches_when_there_is_no_hash(passwords: Passwords, stored: str | None) -> None:
    """Not even the words that stand in for one."""
    for password in ("nobody", "", "x" * 129, "\ud800"):
        assert not await passwords.matches(stored, password)


async def test_hash_is_outdated_when_the_cost_has_risen(passwords: Passwords) -> None:
    """What was made cheaper is made again at the next login."""
    stored = await passwords.hash("correct horse")
    assert not passwords.outdated(stored)
    dearer = Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1))
    assert dearer.outdated(stored)
    assert await dearer.matches(stored, "correct horse")
    dearer.close()


@pytest.mark.parametrize(("length", "fine"), [(7, False), (8, True), (128, True), (129, False)])
async def test_length_is_checked_in_characters(passwords: Passwords, length: int, *, fine: bool) -> None:
    """8 to 128, whatever they are encoded to."""
    if fine:
        assert await passwords.matches(await passwords.hash("ü" * length), "ü" * length)
    else:
        with pytest.raises(InvalidRequest):
            await passwords.hash("ü" * length)


class Counting(PasswordHasher):
    """Counts how many hashes run at the same time, each held until told."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.go_on = threading.Event()
        self.lock = threading.Lock()
        self.running = self.most = 0

    def hash(self, password: Any, *, salt: bytes | None = None) -> str:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.go_on.wait(60)
        with self.lock:
            self.running -= 1
        return super().hash(password, salt=salt)


async def test_two_run_at_once_when_many_come() -> None:
    """The third waits for a slot; beyond the queue's length who comes is told to come again."""
    hasher = Counting()
    narrow = Passwords(hasher, waiting=5)
    tasks = [asyncio.create_task(narrow.hash("correct horse")) for _ in range(5)]
    async with asyncio.timeout(20):
        while hasher.running < SLOTS:  # noqa: ASYNC110  # threads set no event of the loop
            await asyncio.sleep(0.005)
    with pytest.raises(Overloaded):
        await narrow.hash("correct horse")
    hasher.go_on.set()
    assert len(await asyncio.gather(*tasks)) == 5
    assert hasher.most == SLOTS
    narrow.close()
