"""What is told of a change, kept in the transaction that makes it.

A service that changes something for a client takes `keep`, and writes `kept(work, keep)` instead of `work`: what `keep`
stores is there if and only if the change is. Who passes it knows what is stored and why; the service does not.
"""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

T = TypeVar("T")

Keep = Callable[[Connection, T], None]
"""Gets the result of a change, inside its transaction; raising undoes the change. It may be called twice, and the last
call counts.
"""


def keep_nothing(conn: Connection, result: object) -> None:
    """For a change that nobody will ask about again."""


def kept(work: Callable[[Connection], T], keep: Keep[T]) -> Callable[[Connection], T]:
    """`work` with what is told of it, as one write."""

    def run(conn: Connection) -> T:
        result = work(conn)
        keep(conn, result)
        return result

    return run
