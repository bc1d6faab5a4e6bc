"""docs/howto/scale.md, as a reader would run it: two servers, one PostgreSQL, one Valkey, one limit."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from repository import ROOT, blocks

PAGE = ROOT / "docs" / "howto" / "scale.md"
PATIENCE = 240
STOP = """
code=$?
kill $(jobs -p) 2> /dev/null
wait
exit $code
"""
WAIT = 'for port in 5151 5152; do curl -sS --retry 60 --retry-connrefused --retry-delay 1 "http://127.0.0.1:$port/readyz" > /dev/null; done\n'


def free_ports(count: int) -> list[str]:
    """Ports that nobody listens on."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(each.getsockname()[1]) for each in held]
    for each in held:
        each.close()
    return ports


def test_page_when_its_commands_are_run(postgres: str, valkey: str, tmp_path: Path) -> None:
    """The commands work in their order, and one limit counts for both servers."""
    shown = [block.text for block in blocks(PAGE, "sh") if "docker" not in block.text]
    assert len(shown) == 3, "the blocks were not found"
    settings, start, use = shown
    settings = settings.replace("postgresql://ingot:secret@127.0.0.1/ingot", postgres)
    settings = settings.replace("redis://127.0.0.1:6379/0", valkey)
    settings = settings.replace("/var/lib/ingot", str(tmp_path / "data"))
    script = f"trap '{STOP}' EXIT\n{settings}{start}{WAIT}{use}"
    for port, free in zip(("5151", "5152"), free_ports(2), strict=True):
        script = script.replace(port, free)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    done = subprocess.run(
        ["bash", "-eu", "-c", script],
        env={name: value for name, value in os.environ.items() if not name.startswith("INGOT_")}
        | {"PATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^\d+ (\d{3})$", done.stdout, re.MULTILINE) == ["200"] * 5 + ["429"] * 3, done.stdout
    assert re.search(r"^demo-tiny ", done.stdout, re.MULTILINE), done.stdout
