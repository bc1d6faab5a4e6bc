"""Step 6: conversations, and the items that they keep in order until somebody deletes them.

An item's place never changes and is never given twice: `appended` counts all that were ever appended.
"""

from sqlalchemy import BigInteger, Column, Connection, Index, LargeBinary, MetaData, Table, Text

from ingot.store.steps.kinds import ident, instant, number, text


def define(tables: MetaData) -> None:
    """The tables of this step."""
    Table(
        "conversations",
        tables,
        ident(),
        text("org_id"),
        instant("created_at"),
        number("appended"),
        Column("metadata", Text),  # a JSON object of strings
        Index("conversations_by_org", "org_id", "id"),
    )
    Table(
        "conversation_items",
        tables,
        Column("conversation_id", Text, primary_key=True),
        Column("place", BigInteger, primary_key=True, autoincrement=False),
        text("id"),
        Column("maker", Text),  # the target that gave it; null: the client
        Column("item", LargeBinary, nullable=False),  # a JSON object
        Index("conversation_items_by_id", "conversation_id", "id", unique=True),
    )


def apply(conn: Connection, now: int) -> None:  # noqa: ARG001  # a step's signature
    """Creates them."""
    tables = MetaData()
    define(tables)
    tables.create_all(conn, checkfirst=False)
