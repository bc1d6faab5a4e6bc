"""A preset for each host name on one server: which rules a request meets, and what all of them share."""

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from rig import Answer, Backstage, Line, chat, fresh_id, post, stage, wait_until
from served import Served

CONFIG = """
    [server]
    preset = "metask"
    [targets.up]
    base_url = "{up}"
    [models]
    mock = { targets = ["up"], price = "free", attempts = 1 }

    [presets.ours]
    extends = "valar"
    [presets.ours.fields.chat]
    stop = "accept"

    [hosts]
    "valley.example.org" = "valley"
    "aurora.example.org" = "aurora"
    "ours.example.org" = "ours"
"""
Stage = tuple[Served, Backstage]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("hosts"), CONFIG) as running:
        yield running


def ask(scene: Stage, host: str, *, more: str = "", **fields: Any) -> Answer:
    """A chat call to a host."""
    with Line(scene[0].port) as line:
        line.send(post(chat(f"echo: {fresh_id()}", **fields), host=host, more=more))
        return line.answer()


def get(scene: Stage, host: str, path: str, *, key: bool = True) -> Answer:
    """A page of a host."""
    authorization = f"authorization: Bearer {scene[0].key}\r\n" if key else ""
    with Line(scene[0].port) as line:
        line.send(f"GET {path} HTTP/1.1\r\nhost: {host}\r\n{authorization}\r\n".encode())
        return line.answer(method="GET")


@pytest.mark.parametrize("host", ["aurora.example.org", "AURORA.example.org:443", "Aurora.Example.Org:5150"])
def test_host_has_its_preset_however_it_is_written(scene: Stage, host: str) -> None:
    """Any case, with any port: its rules, its ids, its errors, its surfaces."""
    for _ in range(2):
        assert json.loads(ask(scene, host).body)["id"].startswith("cmpl_")
        assert ask(scene, host, stream=True).error["param"] == "stream"
        assert json.loads(get(scene, host, "/v1/models", key=False).body)["error"]["code"] == "unauthorized"
        assert get(scene, host, "/v1/usage").status == 404


def test_every_other_host_has_the_servers_preset(scene: Stage) -> None:
    """Loopback names too; what no host of the server is stays refused."""
    for host in ("localhost", "127.0.0.1:5150", "[::1]:80"):
        answer = ask(scene, host, stream=True)
        assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    for host in ("example.org", "x.aurora.example.org"):
        assert ask(scene, host).error["code"] == "misdirected_request"


def test_preset_of_the_configuration_differs_in_what_it_says(scene: Stage) -> None:
    """One rule is overridden, all others are those of the preset below."""
    assert ask(scene, "ours.example.org", stop=["x"]).status == 200
    assert ask(scene, "ours.example.org", seed=1).error["param"] == "seed"
    assert "system_fingerprint" not in json.loads(ask(scene, "ours.example.org").body)


def test_hosts_share_keys_and_retries(scene: Stage) -> None:
    """A key works on every host, and a retry is known wherever it comes in."""
    more = f"idempotency-key: {fresh_id()}\r\n"
    body = post(chat("echo: twice"), host="valley.example.org", more=more)
    answers = []
    for host in ("valley.example.org", "localhost"):
        with Line(scene[0].port) as line:
            line.send(body.replace(b"valley.example.org", host.encode()))
            answers.append(line.answer())
    assert answers[0].body == answers[1].body
    assert answers[1].headers["idempotent-replayed"] == "true"


def test_valley_keeps_what_it_is_asked_to_keep(scene: Stage) -> None:
    """There `store` counts as false where it is not given, on the host's own pages."""
    host = "valley.example.org"
    given: list[dict[str, Any]] = [{"store": True}, {}]
    kept, lost = (json.loads(ask(scene, host, **fields).body)["id"] for fields in given)
    assert get(scene, host, f"/v1/chat/completions/{kept}").status == 200
    assert get(scene, host, f"/v1/chat/completions/{lost}").status == 404
    assert get(scene, "localhost", f"/v1/chat/completions/{kept}").status == 404


def test_models_are_replaced_on_every_host(scene: Stage) -> None:
    """A reload reaches all presets; hosts themselves wait for the next start, which the log says."""
    served, _ = scene
    more = 'more = { targets = ["up"], price = "free" }'
    text = served.config.read_text().replace("[models]", f"[models]\n{more}")
    served.config.write_text(text.replace('= "aurora"', '= "open"'))
    served.process.send_signal(signal.SIGHUP)
    wait_until(lambda: any("take effect" in line["event"] for line in served.logs()), "the reload")
    warned = next(line for line in served.logs() if "take effect" in line["event"])
    assert warned["sections"] == ["[hosts]"]
    for host in ("localhost", "valley.example.org", "aurora.example.org"):
        assert ask(scene, host, model="more").status == 200
    assert json.loads(ask(scene, "aurora.example.org").body)["id"].startswith("cmpl_")


def test_key_tells_what_differs_when_another_host_reads_the_request_otherwise(scene: Stage) -> None:
    """A preset's own defaults are part of what is asked: the same bytes are another request."""
    key = fresh_id()
    body = chat("echo: same")
    with Line(scene[0].port) as line:
        line.send(post(body, host="localhost", more=f"idempotency-key: {key}\r\n"))
        assert line.answer().status == 200
        line.send(post(body, host="aurora.example.org", more=f"idempotency-key: {key}\r\n"))
        told = line.answer()
        assert told.status == 400
        assert "the first went to a host with the preset 'metask'" in told.body.decode()
        assert "'aurora' here" in told.body.decode()
        line.send(post(chat("echo: other"), host="localhost", more=f"idempotency-key: {key}\r\n"))
        assert "its body was another one" in line.answer().error["message"]


def test_error_is_the_presets_own_when_it_has_no_messages(scene: Stage) -> None:
    """Below `/v1/messages` too, where a preset does not offer them."""
    assert (
        json.loads(get(scene, "aurora.example.org", "/v1/messages/nope").body)["error"]["code"]
        == "unknown_url"
    )
