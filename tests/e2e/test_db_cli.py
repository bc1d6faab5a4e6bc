"""`ingot db` as a user runs it: real processes, on SQLite and on PostgreSQL."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from databases import Place, postgres_server
from ingot.store.migrations import MIGRATIONS


def _db(place: Place, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """`ingot db ...` with a configuration that names the place."""
    place.data.parent.mkdir(exist_ok=True)
    config = place.data.parent / "ingot.toml"
    config.write_text(f'[server]\ndata = "{place.data}"\ndatabase = "{place.url}"\n')
    environ = {name: value for name, value in os.environ.items() if not name.startswith("INGOT_")}
    environ |= {"NO_COLOR": "1", "COLUMNS": "160"}
    if place.postgres:
        environ["PATH"] = f"{postgres_server().programs}:{environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "ingot", "db", *arguments, "--config", str(config)],
        env=environ,
        cwd=place.data.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_database_is_made_seen_and_saved_when_the_command_line_says_so(backend: Place) -> None:
    """status, migrate, status, backup: each for people and as JSON."""
    names = [step.name for step in MIGRATIONS]
    assert f"pending: {', '.join(names)}" in _db(backend, "status").stdout
    assert not backend.data.exists()
    assert _db(backend, "migrate").stdout.splitlines() == [f"applied {name}" for name in names]
    assert json.loads(_db(backend, "migrate", "--json").stdout) == {"applied": []}
    shown = _db(backend, "status").stdout
    assert f"schema {len(names)}, pending: nothing" in shown
    assert re.search(r"^plans +3$", shown, re.MULTILINE)
    found = json.loads(_db(backend, "status", "--json").stdout)
    assert found["kind"] == ("postgresql" if backend.postgres else "sqlite")
    assert found["tables"]["api_keys"] == 0
    file = backend.data.parent / "saved"
    made = json.loads(_db(backend, "backup", str(file), "--json").stdout)
    assert made == {"file": str(file), "pepper": None, "size_bytes": file.stat().st_size}
    assert "is there already" in _db(backend, "backup", str(file), code=1).stderr


def test_status_fails_when_a_start_would_be_refused(tmp_path: Path) -> None:
    """Programs see it by the exit status, people by the text."""
    place = Place("sqlite", tmp_path / "data", "")
    _db(place, "migrate")
    place.run("INSERT INTO schema_migrations VALUES (99, 'future', 'done', 0)")
    assert "newer Ingot" in _db(place, "status", code=1).stderr
    assert "newer Ingot" in json.loads(_db(place, "status", "--json", code=1).stdout)["problem"]
    assert "newer Ingot" in _db(place, "migrate", code=1).stderr


def test_url_may_stand_in_a_file_when_it_is_secret(postgres: str, tmp_path: Path) -> None:
    """`database = "file:PATH"` starts at the configuration's own folder; a fault shows no password."""
    secret = tmp_path / "url"
    secret.write_text(postgres + "\n")
    secret.chmod(0o600)
    place = Place("postgres", tmp_path / "data", "file:url")
    assert "schema 0" in _db(place, "status").stdout
    secret.write_text("postgresql://ingot:geheim@127.0.0.1:1/ingot")
    failed = _db(place, "status", code=1)
    assert "127.0.0.1:1/ingot cannot be used" in failed.stderr
    assert "geheim" not in failed.stderr
