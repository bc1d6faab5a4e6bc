"""Passwords: their rules, and argon2id on two threads of its own.

Decides how long a password is and what a hash costs. Two slots bound memory and CPU whatever the number of
sign-ins; who would wait behind too many others is refused. Knows no user: whether one exists costs the same.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ingot.errors import InvalidRequest, Overloaded

T = TypeVar("T")

SHORTEST = 8
LONGEST = 128
SLOTS = 2
WAITING = 64
"""At 50 to 150 ms a hash, who waits behind so many others has given up."""


def check_password(password: str, *, param: str = "password") -> None:
    """Raises InvalidRequest for a password that is too short or too long; it may hold any character."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidRequest(f"A password has {SHORTEST} to {LONGEST} characters.", param=param)
    if "\0" in password or not _encodable(password):
        raise InvalidRequest("The password holds a character that no keyboard types.", param=param)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Passwords:
    """Hashes and compares; belongs to one event loop. The default cost is RFC 9106's for 64 MiB."""

    def __init__(self, hasher: PasswordHasher | None = None, *, waiting: int = WAITING) -> None:
        self._hasher = hasher or PasswordHasher()
        self._pool = ThreadPoolExecutor(SLOTS, thread_name_prefix="ingot-argon2")
        self._limit = waiting
        self._waiting = 0
        self._nobody: str | None = None

    async def hash(self, password: str) -> str:
        """The argon2id hash with its salt and cost, as text; raises InvalidRequest, Overloaded."""
        check_password(password)
        return await self._run(lambda: self._hasher.hash(password))

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether this is the password; without a stored hash the same work is done, and the answer is no."""
        if len(password) > LONGEST or not _encodable(password):
            password, stored = "", None
        return await self._run(lambda: self._compare(stored, password))

    def outdated(self, stored: str) -> bool:
        """Whether a hash was made at another cost than today's."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """Ends the threads; what runs is finished."""
        self._pool.shutdown(wait=True)

    def _compare(self, stored: str | None, password: str) -> bool:
        if self._nobody is None:
            self._nobody = self._hasher.hash("nobody")
        right = self._verify(self._nobody if stored is None else stored, password)
        return right and stored is not None

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= self._limit:
            raise Overloaded(
                "Too many people sign in at this moment. Try again in a few seconds.", retry_after=5.0
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1
