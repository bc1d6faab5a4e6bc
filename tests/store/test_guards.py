"""The database keeps the ledger as it was written: it refuses whoever changes or deletes a row, on both databases."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Executable, delete, text, update

from databases import Place, open_store, postgres_server
from ingot.services.ledger import Ledger
from ingot.store import pepper
from ingot.store.backup import back_up
from ingot.store.engine import FILE_NAME
from ingot.store.erasure import erase_organization
from ingot.store.faults import StoreConflict
from ingot.store.ledger import Entry, add_entry
from ingot.store.migrations import MIGRATIONS
from ingot.store.schema import ledger
from treasury import Treasury

FAULTS = (sqlite3.IntegrityError, psycopg.errors.RestrictViolation)
SAID = "a row of the ledger is never changed or deleted; write a correction"
BEFORE = [step for step in MIGRATIONS if step.name != "guards"]
UPSERT = (
    "INSERT INTO ledger (billable_id, org_id, kind, amount, at) SELECT billable_id, org_id, kind, 1, at FROM ledger "
    "WHERE seq > 0 ON CONFLICT (billable_id) DO UPDATE SET amount = excluded.amount"
)
ENTRY = Entry("topup:one", "org_a", "topup", 5, at=1)


@dataclass(frozen=True, slots=True)
class Vault:
    """A ledger with one row, of a top-up of 1,000."""

    place: Place
    treasury: Treasury

    def rows(self) -> list[tuple[Any, ...]]:
        """All rows, whole, read past our own code."""
        return self.place.run("SELECT * FROM ledger ORDER BY seq")


@pytest.fixture
async def vault(backend: Place) -> AsyncIterator[Vault]:
    """On each database."""
    async with open_store(backend) as db:
        treasury = Treasury(db)
        await treasury.organization("org_a", amount=1_000)
        yield Vault(backend, treasury)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET amount = 1",
        "UPDATE ledger SET note = 'paid in cash' WHERE org_id = 'org_a'",
        "UPDATE ledger SET seq = seq + 1",
        "DELETE FROM ledger",
        "DELETE FROM ledger WHERE org_id = 'org_a'",
        UPSERT,
    ],
)
async def test_row_stays_as_it_is_when_somebody_turns_to_the_database(vault: Vault, statement: str) -> None:
    """Also past our own code, and the text says what to do."""
    before = vault.rows()
    with pytest.raises(FAULTS, match=SAID):
        vault.place.run(statement)
    assert vault.rows() == before
    assert len(before) == 1


async def test_rows_stay_when_the_table_is_emptied(vault: Vault) -> None:
    """PostgreSQL has a word of its own for it; SQLite empties a table by DELETE."""
    before = vault.rows()
    with pytest.raises(FAULTS, match=SAID):
        vault.place.run(
            "TRUNCATE ledger CASCADE" if vault.place.postgres else "DELETE FROM ledger WHERE true"
        )
    assert vault.rows() == before


@pytest.mark.parametrize("change", [update(ledger).values(amount=1), delete(ledger)])
async def test_write_is_refused_when_it_would_change_a_row(vault: Vault, change: Executable) -> None:
    """A fault of our own code is one, too: nothing of its transaction stays."""
    before = vault.rows()
    promised = text("UPDATE organizations SET name = 'other'")
    with pytest.raises(StoreConflict, match=SAID):
        await vault.treasury.execute(promised, change)
    assert vault.rows() == before
    assert ("other",) not in vault.place.run("SELECT name FROM organizations")


async def test_row_stays_when_sqlite_would_replace_it(vault: Vault) -> None:
    """REPLACE deletes the old row without a word where triggers are not asked to look."""
    if vault.place.postgres:
        return
    before = vault.rows()
    again = text(
        "REPLACE INTO ledger (billable_id, org_id, kind, amount, at) "
        "SELECT billable_id, org_id, kind, 1, at FROM ledger"
    )
    with pytest.raises(StoreConflict, match=SAID):
        await vault.treasury.execute(again)
    assert vault.rows() == before


async def test_correction_is_a_row_of_its_own(vault: Vault) -> None:
    """What it corrects stays as it was; the balance is the sum of both."""
    before = vault.rows()
    await vault.treasury.credits.correct("org_a", -400, actor="cli", note="typed one zero too many")
    after = vault.rows()
    assert after[: len(before)] == before
    assert len(after) == len(before) + 1
    assert await vault.treasury.figures("org_a") == (600, 0)
    assert (await Ledger(vault.treasury.db).verify()).holds


async def test_rows_stay_when_an_organization_is_erased(vault: Vault) -> None:
    """Its content goes, and nothing on the way touches what it paid."""
    await vault.treasury.settle(vault.treasury.call(60, org_id="org_a"))
    before = vault.rows()
    while await vault.treasury.db.write(lambda conn: erase_organization(conn, "org_a")):
        pass
    assert vault.rows() == before
    assert len(before) == 2


async def test_rows_are_guarded_when_they_were_there_before(backend: Place) -> None:
    """An upgrade keeps what an older version wrote, guards it, and goes on adding."""
    async with open_store(backend, steps=BEFORE) as db:
        await db.write(lambda conn: add_entry(conn, ENTRY))
    backend.run("UPDATE ledger SET note = 'by an older version'")
    async with open_store(backend) as db:
        with pytest.raises(FAULTS, match=SAID):
            backend.run("UPDATE ledger SET note = NULL")
        await db.write(lambda conn: add_entry(conn, Entry("topup:two", "org_a", "topup", 7, at=2)))
    found = backend.run("SELECT billable_id, amount, note FROM ledger ORDER BY seq")
    assert found == [("topup:one", 5, "by an older version"), ("topup:two", 7, None)]


async def test_rows_are_guarded_when_a_backup_was_restored(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guards are part of a backup, and hinder neither it nor the restore."""
    place, file = vault.place, tmp_path / "saved"
    place.data.mkdir(exist_ok=True)
    pepper.load_pepper(place.data, create=True)
    server = postgres_server() if place.postgres else None
    if server is not None:
        monkeypatch.setenv("PATH", f"{server.programs}:{os.environ['PATH']}")
    back_up(place.data, place.url, file)
    restored = Place(place.kind, tmp_path / "restored", server.create() if server else "")
    if server is not None:
        for _ in range(2):  # the second time over what is there
            again = ["--clean", "--if-exists", "--dbname", restored.url]
            subprocess.run([server.programs / "pg_restore", *again, file], check=True)
    else:
        restored.data.mkdir()
        shutil.copy(file, restored.data / FILE_NAME)
    assert restored.run("SELECT * FROM ledger ORDER BY seq") == vault.rows()
    for statement in ("UPDATE ledger SET amount = 1", "DELETE FROM ledger"):
        with pytest.raises(FAULTS, match=SAID):
            restored.run(statement)
    async with open_store(restored) as db:
        await Treasury(db).credits.top_up("org_a", 5, actor="cli")
        assert (await Ledger(db).verify()).holds
    if server is not None:
        server.drop(restored.url)


async def test_verify_when_the_guards_are_gone(vault: Vault) -> None:
    """Who owns the database can take them away, and not without being told of."""

    def strip(conn: Connection) -> None:
        conn.execute(text(off))

    off = (
        "ALTER TABLE ledger DISABLE TRIGGER ledger_append_only"
        if vault.place.postgres
        else "DROP TRIGGER ledger_undeleted"
    )
    assert (await Ledger(vault.treasury.db).verify()).holds
    await vault.treasury.db.write(strip)
    proof = await Ledger(vault.treasury.db).verify()
    which = "ledger_append_only" if vault.place.postgres else "ledger_undeleted"
    assert [(each.check, each.subject) for each in proof.findings] == [("guards", which)]
    assert "could be changed or deleted" in proof.findings[0].detail
