"""What a server still knows after it was stopped and started again on the same data directory."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rig import Backstage
from served import Served, serving


def _ingot(served: Served, *words: str) -> Any:
    """What a command on the server's data directory prints with --json."""
    command = [sys.executable, "-m", "ingot", *words, "--json", "--data", str(served.data)]
    done = subprocess.run(command, cwd=served.config.parent, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _call(served: Served, key: str) -> int:
    body = {"model": "mock", "messages": [{"role": "user", "content": "hello"}]}
    return served.call("/v1/chat/completions", body, key=key)[0]


def test_l11_burst_is_granted_once_when_the_server_starts_again(tmp_path: Path) -> None:
    """A key of one request a minute has a burst of five; after a stop and a start it waits as before."""
    with Backstage() as upstream:
        config = f"""
            [engine]
            enabled = false
            [targets.up]
            base_url = "{upstream.up.url}"
            [models]
            mock = {{ targets = ["up"], price = "free" }}
        """
        with serving(config, tmp_path) as served:
            key = _ingot(served, "keys", "create", "--name", "slow", "--rpm", "1")["key"]
            assert [_call(served, key) for _ in range(6)] == [200] * 5 + [429]
            assert served.stop() == 0
        with serving(config, tmp_path) as served:
            assert _call(served, key) == 429


def test_plans_are_the_presets_when_the_server_starts_with_one(tmp_path: Path) -> None:
    """What ships becomes the preset's at the start; what an operator sets stays at the next."""
    config = """
        [server]
        preset = "aurora"
        [engine]
        enabled = false
    """
    with serving(config, tmp_path) as served:
        pro = _ingot(served, "plans", "show", "pro")
        assert (pro["rpm"], pro["tpm"], pro["keys"], pro["weight"]) == (60, 400_000, 3, 4)
        assert (_ingot(served, "plans", "show", "free")["rpm"]) == 5
        _ingot(served, "plans", "set", "pro", "--rpm", "600")
    with serving(config, tmp_path) as served:
        assert _ingot(served, "plans", "show", "pro")["rpm"] == 600
