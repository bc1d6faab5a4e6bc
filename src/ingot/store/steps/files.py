"""Step 6: files of clients, and uploads that become one. Their bytes lie on disk (`store.blobs`), by the row's id."""

from sqlalchemy import BigInteger, Column, Connection, Index, MetaData, Table, Text
from sqlalchemy import text as sql

from ingot.store.steps.kinds import ident, instant, number, text

_DUE = "expires_at IS NOT NULL"


def define(tables: MetaData) -> None:
    """The tables of this step."""
    Table(
        "files",
        tables,
        ident(),
        text("org_id"),
        text("key_id"),
        text("purpose"),
        text("filename"),
        number("bytes"),
        text("sha256"),
        instant("created_at"),
        Column("expires_at", BigInteger),
        # Holds what lists filter by, and what the quota adds up.
        Index("files_by_org", "org_id", "created_at", "id", "purpose", "bytes", "expires_at"),
        Index("files_due", "expires_at", sqlite_where=sql(_DUE), postgresql_where=sql(_DUE)),
    )
    Table(
        "uploads",
        tables,
        ident(),
        text("org_id"),
        text("key_id"),
        text("purpose"),
        text("filename"),
        text("mime_type"),
        number("bytes"),  # as announced
        text("state"),  # pending, completed, cancelled, expired
        Column(
            "keep_seconds", BigInteger
        ),  # how long the file lives once it is whole; null: until it is deleted
        Column("file_id", Text),
        instant("created_at"),
        instant("expires_at"),
        Index("uploads_by_org", "org_id", "state"),
        Index("uploads_due", "state", "expires_at"),
    )
    Table(
        "upload_parts",
        tables,
        ident(),
        text("upload_id"),
        number("bytes"),
        instant("created_at"),
        Index("upload_parts_by_upload", "upload_id", "id", "bytes"),
    )


def apply(conn: Connection, now: int) -> None:  # noqa: ARG001  # a step's signature
    """Creates them."""
    tables = MetaData()
    define(tables)
    tables.create_all(conn, checkfirst=False)
