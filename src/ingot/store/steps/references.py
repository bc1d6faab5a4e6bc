"""Step 8: where an item is found by its id alone.

`response_items` has a row for each item of a stored response whose id does not tell the response. Items of conversations say
themselves whose they are, so that one is found without its conversation.
"""

from sqlalchemy import Column, Connection, Index, MetaData, Table, Text
from sqlalchemy import text as sql

ITEM_COLUMN = "org_id TEXT NOT NULL DEFAULT ''"


def define(tables: MetaData) -> None:
    """The table of this step."""
    Table(
        "response_items",
        tables,
        Column("org_id", Text, primary_key=True),
        Column("item_id", Text, primary_key=True),
        Column("response_id", Text, primary_key=True),  # in the order of time: the last is the newest
        Index("response_items_by_response", "response_id"),
        sqlite_with_rowid=False,
    )


def apply(conn: Connection, now: int) -> None:  # noqa: ARG001  # a step's signature
    """Creates it, and tells the items of conversations whose they are."""
    tables = MetaData()
    define(tables)
    tables.create_all(conn, checkfirst=False)
    conn.execute(sql(f"ALTER TABLE conversation_items ADD COLUMN {ITEM_COLUMN}"))
    conn.execute(
        sql(
            "UPDATE conversation_items SET org_id = COALESCE((SELECT c.org_id FROM conversations AS c "
            "WHERE c.id = conversation_items.conversation_id), '')"
        )
    )
    conn.execute(
        sql("CREATE INDEX conversation_items_by_org ON conversation_items (org_id, id, conversation_id)")
    )
