"""Opening: what the file and its directory must be, and what is said where they are not."""

import sqlite3
import stat
from pathlib import Path

import pytest
from sqlalchemy import Connection

from ingot.store.engine import FILE_NAME, open_database
from ingot.store.faults import StoreError
from ingot.store.sqlite import explain


async def test_files_are_private_when_created(tmp_path: Path) -> None:
    """Nobody but the owner reads the database, its log or the directory."""
    data = tmp_path / "deep" / "data"
    async with open_database(data) as db:
        await db.write(lambda conn: conn.exec_driver_sql("CREATE TABLE things (n INTEGER)"))
        files = list(data.iterdir())
        assert {file.name for file in files} == {FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


async def test_safety_is_on_when_connected(tmp_path: Path) -> None:
    """The writer and the readers run with the settings that the promises rest on."""

    def settings(conn: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "trusted_schema", "query_only")
        return [conn.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names]

    async with open_database(tmp_path) as db:
        assert await db.write(settings) == ["wal", 2, 1, 0, 0]
        assert await db.read(settings) == ["wal", 2, 1, 0, 1]


async def test_path_is_taken_as_it_is_when_it_has_odd_characters(tmp_path: Path) -> None:
    """Spaces, question marks and hashes are part of a name, not of a URL."""
    data = tmp_path / "a b?mode=ro#c%20"
    await open_database(data).close()
    assert (data / FILE_NAME).stat().st_size > 0


def test_start_is_refused_when_the_directory_is_a_file(tmp_path: Path) -> None:
    """The text names the option to use."""
    (tmp_path / "data").write_text("")
    with pytest.raises(StoreError, match=r"is a file, not a directory.*--data"):
        open_database(tmp_path / "data")


def test_start_is_refused_when_the_directory_cannot_be_made(tmp_path: Path) -> None:
    """The reason of the system and the way out stand in one text."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot be used \(Not a directory\).*--data"):
        open_database(tmp_path / "file" / "data")


def test_start_is_refused_when_the_file_is_no_database(tmp_path: Path) -> None:
    """What is there is left alone."""
    (tmp_path / FILE_NAME).write_text("my shopping list, " * 100)
    with pytest.raises(StoreError, match="is not a database"):
        open_database(tmp_path)
    assert (tmp_path / FILE_NAME).read_text().startswith("my shopping list")


async def test_start_is_refused_when_the_file_is_damaged(tmp_path: Path) -> None:
    """A damaged database is not written to; the text points to the backup."""
    await open_database(tmp_path).close()
    content = bytearray((tmp_path / FILE_NAME).read_bytes())
    content[100:4096] = b"\xff" * 3996  # the root page of the schema, after the file's header
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(StoreError, match=r"is damaged.*backup"):
        open_database(tmp_path)


def test_fault_names_the_file_when_it_cannot_be_written(tmp_path: Path) -> None:
    """A file that is read-only for us is told with its path."""
    sqlite3.connect(tmp_path / FILE_NAME).close()
    conn = sqlite3.connect(f"file:{tmp_path / FILE_NAME}?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError) as caught:
        conn.execute("CREATE TABLE things (n INTEGER)")
    conn.close()
    told = explain(caught.value, tmp_path / FILE_NAME)
    assert isinstance(told, StoreError)
    assert f"{tmp_path / FILE_NAME} cannot be written" in told.message


def test_fault_stays_when_it_is_a_bug(tmp_path: Path) -> None:
    """Bad SQL is nothing that an operator could mend: it is not dressed up."""
    conn = sqlite3.connect(":memory:")
    with pytest.raises(sqlite3.OperationalError) as caught:
        conn.execute("SELECT nothing FROM nowhere")
    conn.close()
    assert explain(caught.value, tmp_path) is caught.value
    bug = LookupError("x")
    assert explain(bug, tmp_path) is bug
