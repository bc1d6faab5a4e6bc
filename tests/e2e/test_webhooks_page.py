"""docs/howto/webhooks.md, as a reader would run it: its Python against a server and a receiver, its commands in their order."""

import json
import os
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

from typer.testing import CliRunner

from ingot.cli.main import app
from receiver import Receiver
from repository import ROOT, blocks
from rig import Backstage
from served import KEY, PATIENCE, Served, serving

PAGE = ROOT / "docs" / "howto" / "webhooks.md"
CONFIG = """
    [engine]
    enabled = false
    [targets.up]
    base_url = "{up}"
    [models.demo-tiny]
    targets = ["up"]
    price = "free"
"""


def test_page_when_it_is_followed(tmp_path: Path) -> None:
    """A request calls, an endpoint gets a test and an event, the function of the page knows it, and commands tell of it."""
    with Backstage() as upstream, Receiver() as receiver:
        config = textwrap.dedent(CONFIG).replace("{up}", upstream.url) + receiver.section
        with serving(config, tmp_path) as served:
            told = _run_python(served, receiver, tmp_path / "page.py")
            [post] = receiver.of(told["response"])
            assert post.headers["authorization"] == "Bearer something-that-you-know"
            assert served.call(f"/v1/responses/{told['response']}")[2] == post.body
            assert told["type"] == "response.completed"
            _run_commands(served.data)


TAIL = """
import json

os.environ["WEBHOOK_SECRET"] = endpoint.signing_secret
print(response.id, flush=True)
told = json.loads(input())
print(received(told["body"].encode(), told["headers"]), flush=True)
"""
"""What a reader's program has around the blocks of the page: it says what it made, and is handed a call."""


def _run_python(served: Served, receiver: Receiver, script: Path) -> dict[str, str]:
    """Runs the blocks of the page as one program, and hands it the call of its own test."""
    text = "\n".join(block.text for block in blocks(PAGE, "python")) + TAIL
    places = {"http://127.0.0.1:5150": served.url, "https://hooks.example.org/done": receiver.url}
    for place, there in places.items():
        assert place in text
        text = text.replace(place, there)
    script.write_text(text)
    with subprocess.Popen(
        [sys.executable, script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"INGOT_API_KEY": KEY},
    ) as program:
        assert program.stdout is not None
        secret, response = program.stdout.readline().strip(), program.stdout.readline().strip()
        assert secret.startswith("whsec_")
        receiver.until(response)
        [tested] = receiver.of("response_test")
        call = {"body": tested.body.decode(), "headers": dict(tested.headers)}
        said, _ = program.communicate(json.dumps(call) + "\n", timeout=PATIENCE)
    assert program.returncode == 0
    return {"response": response, "type": said.strip()}


def _run_commands(data: Path) -> None:
    variables: dict[str, str | None] = {name: None for name in os.environ if name.startswith("INGOT_")}
    variables |= {"INGOT_DATA": str(data), "NO_COLOR": "1", "COLUMNS": "200"}
    lines = [line for block in blocks(PAGE, "sh") for line in block.text.splitlines()]
    assert len(lines) >= 5, "the commands were not found"
    for line in lines:
        done = CliRunner().invoke(app, shlex.split(line)[1:], env=variables)
        assert done.exit_code == 0, f"{line}\n{done.output}"
    listed = CliRunner().invoke(app, ["webhooks", "list"], env=variables)
    assert "production" in listed.stdout
