"""Backups and surveys: what is saved is whole, private and of one moment; to look changes nothing."""

import asyncio
import os
import shlex
import shutil
import stat
import subprocess
from functools import partial
from pathlib import Path

import pytest

from databases import Place, open_store, postgres_server
from ingot.store import pepper
from ingot.store.backup import back_up
from ingot.store.engine import FILE_NAME, migrate_database, open_database
from ingot.store.faults import StoreError
from ingot.store.migrations import MIGRATIONS
from ingot.store.survey import survey
from things import add, create, kept

NAMES = [step.name for step in MIGRATIONS]


async def test_backup_is_one_moment_when_writes_go_on(tmp_path: Path) -> None:
    """Restored into an empty directory it opens, holds a prefix of what was written, and the pepper fits."""
    data, file = tmp_path / "data", tmp_path / "saved.db"
    async with open_database(data) as db:
        await db.write(create)
        secret = pepper.load_pepper(data, create=True)
        writes = [asyncio.create_task(db.write(partial(add, n=n))) for n in range(300)]
        await writes[0]
        made = await asyncio.to_thread(back_up, data, "", file)
        await asyncio.gather(*writes)
    assert (made.file, made.pepper) == (file, tmp_path / "saved.db.pepper")
    assert made.size_bytes == file.stat().st_size > 0
    assert {stat.S_IMODE(each.stat().st_mode) for each in (file, tmp_path / "saved.db.pepper")} == {0o600}
    assert {each.name for each in tmp_path.iterdir()} == {"data", "saved.db", "saved.db.pepper"}
    restored = tmp_path / "restored"
    restored.mkdir()
    shutil.copy(file, restored / FILE_NAME)
    shutil.copy(tmp_path / "saved.db.pepper", restored / pepper.FILE_NAME)
    assert pepper.load_pepper(restored, create=False) == secret
    await open_database(restored).close()
    numbers = kept(Place("sqlite", restored, ""))
    assert numbers == list(range(len(numbers)))
    assert numbers


async def test_backup_replaces_nothing_when_a_file_is_there(tmp_path: Path) -> None:
    """Neither the database nor the pepper of an older backup is lost, and no half of a new one stays."""
    await open_database(tmp_path / "data").close()
    pepper.load_pepper(tmp_path / "data", create=True)
    (tmp_path / "one").write_text("precious")
    (tmp_path / "two.pepper").write_text("precious")
    for name in ("one", "two"):
        with pytest.raises(StoreError, match="is there already"):
            back_up(tmp_path / "data", "", tmp_path / name)
    assert {each.name for each in tmp_path.iterdir()} == {"data", "one", "two.pepper"}
    assert (tmp_path / "one").read_text() == (tmp_path / "two.pepper").read_text() == "precious"


def test_backup_says_so_when_there_is_nothing_to_save(tmp_path: Path) -> None:
    """A wrong directory is not answered with an empty backup."""
    with pytest.raises(StoreError, match=r"no database in .* --data DIR"):
        back_up(tmp_path / "data", "", tmp_path / "saved.db")
    with pytest.raises(StoreError, match=r"cannot be written or read \(No such file"):
        back_up(tmp_path / "data", "", tmp_path / "missing" / "saved.db")
    assert list(tmp_path.iterdir()) == []


async def test_backup_says_so_when_the_database_is_damaged(tmp_path: Path) -> None:
    """A copy of a damaged file is no backup."""
    data = tmp_path / "data"
    await open_database(data).close()
    content = bytearray((data / FILE_NAME).read_bytes())
    content[100:4096] = b"\xff" * 3996
    (data / FILE_NAME).write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"):
        back_up(data, "", tmp_path / "saved.db")
    (data / FILE_NAME).write_text("my shopping list, " * 100)
    with pytest.raises(StoreError, match="is not a database"):
        back_up(data, "", tmp_path / "saved.db")
    assert [each.name for each in tmp_path.iterdir()] == ["data"]


async def test_backup_can_be_restored_when_it_is_of_postgresql(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pg_dump writes it, private and beside the pepper; pg_restore brings it back."""
    server = postgres_server()
    monkeypatch.setenv("PATH", f"{server.programs}:{os.environ['PATH']}")
    place = Place("postgres", tmp_path / "data", postgres)
    async with open_store(place) as db:
        await db.write(create)
        await db.write(partial(add, n=7))
    place.data.mkdir()
    pepper.load_pepper(place.data, create=True)
    file = tmp_path / "saved.dump"
    made = back_up(place.data, postgres, file)
    assert made.pepper == tmp_path / "saved.dump.pepper"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    other = server.create()
    subprocess.run([server.programs / "pg_restore", "--dbname", other, file], check=True)
    assert kept(Place("postgres", tmp_path, other)) == [7]
    assert survey(tmp_path, other).schema == len(MIGRATIONS)
    server.drop(other)


def test_backup_gives_the_command_when_pg_dump_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command can be pasted elsewhere, and holds no password."""
    monkeypatch.setenv("PATH", str(tmp_path))
    url = "postgresql://ingot:geheim@db.example:5433/ingot?sslmode=require&password=geheim"
    with pytest.raises(StoreError, match="not on the PATH") as caught:
        back_up(tmp_path, url, tmp_path / "my backup")
    command = next(
        line for line in caught.value.message.splitlines() if line.strip().startswith("pg_dump --")
    )
    assert shlex.split(command) == [
        "pg_dump",
        "--format=custom",
        "--file",
        str(tmp_path / "my backup"),
        "postgresql://ingot@db.example:5433/ingot?sslmode=require",
    ]
    assert "geheim" not in caught.value.message


def test_backup_says_so_when_pg_dump_fails(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own words are passed on, and nothing stays; the password reaches it, but not by the command line."""
    monkeypatch.setenv("PATH", f"{postgres_server().programs}:{os.environ['PATH']}")
    url = postgres.replace("ingot@", "guarded:geheim@")
    with pytest.raises(StoreError, match=r"nothing was saved:\n.*password authentication failed") as caught:
        back_up(tmp_path, url, tmp_path / "saved.dump")
    assert "geheim" not in caught.value.message
    assert list(tmp_path.iterdir()) == []
    back_up(tmp_path, postgres.replace("ingot@", "guarded:secret@"), tmp_path / "saved.dump")
    assert [each.name for each in tmp_path.iterdir()] == ["saved.dump"]


async def test_survey_tells_what_is_there_when_asked(backend: Place) -> None:
    """Schema, steps to come, rows and size; before the first start nothing is made."""
    before = survey(backend.data, backend.url)
    assert (before.schema, list(before.pending), before.tables, before.exists) == (
        0,
        NAMES,
        {},
        backend.postgres,
    )
    assert not backend.data.exists()
    assert migrate_database(backend.data, backend.url) == NAMES
    assert migrate_database(backend.data, backend.url) == []
    async with open_store(backend) as db:
        await db.write(create)
        await db.write(partial(add, n=1))
    found = survey(backend.data, backend.url)
    assert (found.schema, found.pending, found.problem) == (len(MIGRATIONS), (), None)
    assert (found.tables["things"], found.tables["plans"], found.tables["api_keys"]) == (1, 3, 0)
    assert found.size_bytes > 4096
    if backend.postgres:
        assert found.kind == "postgresql"
        assert found.place == f"{postgres_server().folder}/{backend.url.partition('?')[0].rpartition('/')[2]}"
    else:
        assert (found.kind, found.place) == ("sqlite", str(backend.data / FILE_NAME))


async def test_survey_names_the_problem_when_a_start_would_be_refused(backend: Place) -> None:
    """A schema that is newer or not whole is still looked at."""
    await open_store(backend).close()
    backend.run("INSERT INTO schema_migrations VALUES (99, 'future', 'done', 0)")
    found = survey(backend.data, backend.url)
    assert found.problem is not None
    assert "newer Ingot" in found.problem
    assert found.schema == 99
    assert found.tables["plans"] == 3


def test_survey_says_so_when_the_file_is_no_database(tmp_path: Path) -> None:
    """The text is that of a start."""
    (tmp_path / FILE_NAME).write_text("my shopping list, " * 100)
    with pytest.raises(StoreError, match="is not a database"):
        survey(tmp_path)
