"""Step 13: the database itself keeps rows of the ledger as they were written. Nothing is done where one is added.

SQLite needs `recursive_triggers` too, as `sqlite` sets it: without it REPLACE deletes a row past its triggers.
"""

from sqlalchemy import Connection
from sqlalchemy import text as sql

REASON = "a row of the ledger is never changed or deleted; write a correction, which is a row of its own"
GUARDS = {
    "sqlite": ("ledger_unchanged", "ledger_undeleted"),
    "postgresql": ("ledger_append_only",),
}
"""The names of the triggers, by database."""

_FUNCTION = f"""
CREATE OR REPLACE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '{REASON}' USING ERRCODE = 'restrict_violation';
END $$
"""
# Once for a statement, whatever it meets: nothing empties a table row by row.
_TRIGGER = """
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only()
"""


def apply(conn: Connection, now: int) -> None:  # noqa: ARG001  # a step's signature
    """Creates them."""
    if conn.dialect.name == "postgresql":
        conn.execute(sql(_FUNCTION))
        conn.execute(sql(_TRIGGER))
        return
    for name, verb in zip(GUARDS["sqlite"], ("UPDATE", "DELETE"), strict=True):
        conn.execute(
            sql(f"CREATE TRIGGER {name} BEFORE {verb} ON ledger BEGIN SELECT RAISE(ABORT, '{REASON}'); END")
        )
