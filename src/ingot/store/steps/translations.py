"""Step 4: what translations left out of requests and answers, a row for each response that lost anything.

A table of its own: responses that lost nothing, nearly all, pay nothing for it. Losses name what clients wrote, so that
they are content: kept, and let go, together with it.
"""

from sqlalchemy import Connection, MetaData, Table

from ingot.store.steps.kinds import ident, text


def define(tables: MetaData) -> None:
    """The table of this step."""
    Table(
        "response_losses",
        tables,
        ident("response_id"),
        text("org_id"),
        text("losses"),  # a JSON array of objects: path, reason
    )


def apply(conn: Connection, now: int) -> None:  # noqa: ARG001  # a step's signature
    """Creates it."""
    tables = MetaData()
    define(tables)
    tables.create_all(conn, checkfirst=False)
