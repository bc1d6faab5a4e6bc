"""What a real server does with data made from its own description, right and wrong: no fault, and no status that it keeps quiet.

The server is asked by Schemathesis' command `st`. INGOT_SCHEMATHESIS_SECONDS makes a long run of it: fuzzing goes on for that time for each of the two documents.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rig import Backstage, stage
from served import KEY, Served

ST = Path(sys.executable).parent / "st"
SECONDS = int(os.environ.get("INGOT_SCHEMATHESIS_SECONDS", "0"))
OPTIONS = [
    "--checks",
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
    "--mode",
    "all",
    "--seed",
    "7",
    "--workers",
    "2",
    "--continue-on-failure",
    "--generation-database",
    "none",
    "--generation-with-security-parameters",
    "false",
    "--suppress-health-check",
    "all",
    "--warnings",
    "off",
]
THERE = {"model": ["gpt", "claude"], "org": ["org_default"]}
LAST = ("/admin/v1/organizations/{org}", "delete")
CONFIG = """
    [targets]
    up = { base_url = "{up}", dialects = ["chat", "completions", "embeddings"], breaker = { failures = 1000 } }
    claude = { base_url = "{up}", dialects = ["messages"], breaker = { failures = 1000 } }
    [models]
    gpt = { targets = ["up"], price = "free" }
    claude = { targets = ["claude"], price = "free" }
"""
DOCUMENTS = {"inference": "/openapi.json", "administration": "/admin/v1/openapi.json"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Backstage]]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("openapi"), CONFIG) as both:
        yield both


def described(served: Served, path: str) -> dict[str, Any]:
    """A description as its reader gets it."""
    status, _, answer = served.call(path, key=None)
    assert status == 200, answer
    return dict(json.loads(answer))


def key_for(served: Served, name: str) -> str:
    """The key that fits a document."""
    if name == "inference":
        return KEY
    words = ["keys", "create", "--name", "described", "--admin", "--json", "--data", str(served.data)]
    done = subprocess.run([sys.executable, "-m", "ingot", *words], capture_output=True, check=True)
    return str(json.loads(done.stdout)["key"])


def strict(document: dict[str, Any]) -> dict[str, Any]:
    """The document without its way out, the errors under `default`; and with names of what is there, to get past the door."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["responses"].pop("default", None)
            # The organization whose key is used stays.
            for parameter in operation.get("parameters", ()) if (path, method) != LAST else ():
                if parameter["in"] == "path" and parameter["name"] in THERE:
                    parameter["schema"] = {"enum": THERE[parameter["name"]]}
    for schema in document["components"]["schemas"].values():
        if schema.get("properties", {}).get("model", {}).get("type") == "string":
            schema["properties"]["model"] = {"enum": THERE["model"]}
    return document


@pytest.mark.parametrize("name", DOCUMENTS)
def test_description_when_its_statuses_are_counted(scene: tuple[Served, Backstage], name: str) -> None:
    """Every operation lists its errors one by one, those of its preset under `default`."""
    for path, operations in described(scene[0], DOCUMENTS[name])["paths"].items():
        # What is busy is a status of its own to Anthropic's clients.
        busy = "529" if f"{path}/".startswith("/v1/messages/") else "503"
        for operation in operations.values():
            told = set(operation["responses"])
            assert {"400", "500", busy, "default"} < told
            assert len(told & {"503", "529"}) == 1
            envelope = json.dumps(operation["responses"][busy]["content"])
            assert ("AnthropicErrorBody" in envelope) == (busy == "529")
            assert "401" in told or "security" not in operation
            assert ("413" in told) == ("requestBody" in operation)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_server_when_it_is_asked_by_its_description(
    scene: tuple[Served, Backstage], tmp_path: Path, name: str
) -> None:
    """Requests that fit it, and such that do not, get a status that it lists, none a 5xx, and a body as it says."""
    served, _ = scene
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(strict(described(served, DOCUMENTS[name]))))
    how = ["coverage,fuzzing", "--max-time", str(SECONDS)] if SECONDS else ["fuzzing", "--max-examples", "3"]
    command = [str(ST), "run", str(document), "--url", served.url, "--phases", *how, *OPTIONS]
    command += ["--header", f"Authorization: Bearer {key_for(served, name)}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"[1-9]\d* generated", done.stdout), done.stdout
    assert served.process.poll() is None
    assert [line for line in served.logs() if line.get("level") in ("error", "critical")] == []
