"""The statements about how full the limits of a single process are, kept over its restarts.

Plain functions over a connection. A level is three whole numbers: requests, tokens, and the instant in microseconds at
which both were right. Refuses to know what they mean.
"""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.postgresql import insert as upsert

from ingot.store.schema import limiter_levels

Levels = tuple[int, int, int]

_SET = upsert(limiter_levels)
_SET = _SET.on_conflict_do_update(
    index_elements=[limiter_levels.c.partition],
    set_={name: _SET.excluded[name] for name in ("requests", "tokens", "at")},
)
_COLUMNS = (
    limiter_levels.c.partition,
    limiter_levels.c.requests,
    limiter_levels.c.tokens,
    limiter_levels.c.at,
)


def read_levels(conn: Connection) -> dict[str, Levels]:
    """All that was kept, by partition."""
    return {
        partition: (requests, tokens, at)
        for partition, requests, tokens, at in conn.execute(select(*_COLUMNS))
    }


def write_levels(conn: Connection, changed: Mapping[str, Levels], *, gone: Iterable[str]) -> None:
    """Keeps these in place of what was kept of the same partitions, and forgets those that are gone."""
    rows = [
        {"partition": partition, "requests": requests, "tokens": tokens, "at": at}
        for partition, (requests, tokens, at) in changed.items()
    ]
    if rows:
        conn.execute(_SET, rows)
    for partition in gone:
        conn.execute(delete(limiter_levels).where(limiter_levels.c.partition == partition))
