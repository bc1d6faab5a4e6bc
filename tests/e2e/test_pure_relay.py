"""A server that records nothing: answers and retries as ever, and not a row for an answer."""

import sqlite3
import subprocess
import sys
from pathlib import Path

from rig import Backstage
from served import serving

ASK = {"model": "mock", "messages": [{"role": "user", "content": "hello"}]}


def _config(upstream: Backstage, *, price: str = '"free"') -> str:
    return f"""
        [engine]
        enabled = false
        [store]
        records = false
        [targets.up]
        base_url = "{upstream.up.url}"
        [models]
        mock = {{ targets = ["up"], price = {price} }}
    """


def _rows(data: Path) -> dict[str, int]:
    with sqlite3.connect(f"file:{data / 'ingot.db'}?mode=ro", uri=True) as conn:
        return {
            table: conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608  # names of this test
            for table in ("responses", "ledger", "usage_hours")
        }


def test_nothing_is_written_when_the_server_is_a_pure_relay(tmp_path: Path) -> None:
    """Whole, streamed and failed requests leave no row; a retry with a key gets the same answer from one call."""
    with Backstage() as upstream, serving(_config(upstream), tmp_path) as served:
        assert served.call("/v1/chat/completions", ASK)[0] == 200
        assert served.call("/v1/chat/completions", ASK | {"stream": True})[0] == 200
        assert _rows(served.data) == {"responses": 0, "ledger": 0, "usage_hours": 0}
        key = {"idempotency-key": "once"}
        first = served.call("/v1/chat/completions", ASK, headers=key)
        again = served.call("/v1/chat/completions", ASK, headers=key)
        assert (first[0], first[2]) == (again[0], again[2])
        assert _rows(served.data)["ledger"] == 1


def test_price_is_refused_when_nothing_is_recorded(tmp_path: Path) -> None:
    """What costs something has to be in the ledger."""
    config = tmp_path / "ingot.toml"
    with Backstage() as upstream:
        config.write_text(_config(upstream, price="{ input = 0.15, output = 0.60 }"))
    command = [sys.executable, "-m", "ingot", "config", "check", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "models.mock.price" in done.stdout + done.stderr
    assert "records = false" in done.stdout + done.stderr
