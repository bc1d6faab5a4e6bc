"""Images through a whole server: left to the target, fetched here, refused; and no URL that makes it call its own network."""

import contextlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hostile import CLOSED, TRICKS, literal
from pictures import data_uri, gif, png
from rig import Backstage, fresh_id, stage
from served import Served

MODELS = """
    [targets.up]
    base_url = "{up}"
    [targets.blind]
    base_url = "{up}"
    images = "refuse"
    [models.relay]
    targets = ["blind", { target = "up", model = "scripted" }]
    price = "free"
    [models.fetch]
    targets = ["up"]
    images = "fetch"
    price = "free"
    [models.text]
    targets = ["blind"]
    price = "free"
    [targets.elsewhere]
    base_url = "{up}"
    dialects = ["embeddings"]
    [models.half]
    targets = ["blind", "elsewhere"]
    price = "free"
"""
PICTURE = png(16, 16)


class House(NamedTuple):
    """A server, the target behind it, and where there is a picture to fetch."""

    served: Served
    upstream: Backstage
    gallery: str


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server that may fetch from this machine, for there is nothing else to fetch from."""
    networks = "[images]\nnetworks = ['127.0.0.0/8']\nports = [80, PORTS]\n"
    with gallery() as port:
        config = MODELS + networks.replace("PORTS", str(port))
        with stage(tmp_path_factory.mktemp("images"), config) as (served, upstream):
            yield House(served, upstream, f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def gallery() -> Iterator[int]:
    """A web server with one picture, on its port."""

    class Gallery(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/cat.png"
            self.send_response(200 if found else 404)
            self.end_headers()
            if found:
                self.wfile.write(PICTURE)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gallery) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def canary() -> Iterator[tuple[int, list[socket.socket]]]:
    """A port on loopback and whoever connected to it."""
    came: list[socket.socket] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                came.append(listener.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1], came
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for each in came:
        each.close()


def asked(model: str, *urls: str, **fields: Any) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"model": model, "messages": [{"role": "user", "content": parts}], **fields}


def test_image_when_its_url_is_fetched(house: House) -> None:
    """The target gets a data URI; what is stored is what the client sent."""
    served, upstream, base = house
    url = f"{base}/cat.png"
    request_id = fresh_id()
    body = asked("fetch", url, data_uri(gif(), "image/gif"), url, store=True)
    status, _, answer = served.call(
        "/v1/chat/completions", body, headers={"x-request-id": request_id, "idempotency-key": request_id}
    )
    assert status == 200, answer
    [record] = upstream.until_seen(request_id)
    urls = [part["image_url"]["url"] for part in record.json["messages"][0]["content"]]
    assert urls == [data_uri(PICTURE), data_uri(gif(), "image/gif"), data_uri(PICTURE)]
    _, _, kept = served.call(f"/v1/chat/completions/{json.loads(answer)['id']}/messages")
    [message] = json.loads(kept)["data"]
    assert message["content_parts"] == body["messages"][0]["content"]


def test_image_when_its_url_is_not_there(house: House) -> None:
    """What cannot be fetched is the client's to mend, and the target is not asked."""
    served, upstream, base = house
    before = len(upstream.up.log)
    url = f"{base}/dog.png"
    status, _, answer = served.call("/v1/chat/completions", asked("fetch", url))
    error = json.loads(answer)["error"]
    assert (status, error["code"]) == (400, "failed_to_download_image")
    assert error["param"] == "messages[0].content[0].image_url.url"
    assert "status 404" in error["message"]
    assert len(upstream.up.log) == before


@pytest.mark.parametrize("model", ["relay", "text", "half"])
def test_image_when_target_sees_for_itself(house: House, model: str) -> None:
    """URLs go on as they came, and only to targets that see; where none does, the model says so."""
    served, upstream, _ = house
    request_id = fresh_id()
    body = asked(model, "https://example.org/a.png")
    status, _, answer = served.call("/v1/chat/completions", body, headers={"x-request-id": request_id})
    if model != "relay":
        error = json.loads(answer)["error"]
        assert (status, error["message"]) == (400, f"model '{model}' does not support image input")
        return
    assert status == 200
    [record] = upstream.until_seen(request_id)
    assert record.json["messages"] == body["messages"]
    assert record.json["model"] == "scripted"


def test_image_when_it_is_large(house: House) -> None:
    """20 MB pass, as Valar takes them, whatever the usual bound on a body; a byte more does not."""
    served, upstream, _ = house
    request_id = fresh_id()
    largest = data_uri(png(size=20 * 1024 * 1024))
    status, _, answer = served.call(
        "/v1/chat/completions", asked("relay", largest), headers={"x-request-id": request_id}
    )
    assert status == 200, answer[:300]
    [record] = upstream.until_seen(request_id)
    assert record.json["messages"][0]["content"][0]["image_url"]["url"] == largest
    status, _, answer = served.call(
        "/v1/chat/completions", asked("relay", data_uri(png(size=20 * 1024 * 1024 + 1)))
    )
    assert (status, json.loads(answer)["error"]["code"]) == (400, "image_file_too_large")


def test_images_when_urls_are_hostile(tmp_path: Path) -> None:
    """No URL, fetched or relayed, makes the server connect to this machine or its network: the canary stays alone."""
    with canary() as (port, came), stage(tmp_path, MODELS + f"[images]\nports = [{port}]\n") as (served, up):
        urls = [literal(address, port) for address in CLOSED] + [trick.format(port=port) for trick in TRICKS]
        assert len(urls) >= 60
        for url in urls:
            for model in ("fetch", "relay"):
                status, _, answer = served.call("/v1/chat/completions", asked(model, url))
                error = json.loads(answer)["error"]
                assert (status, error["code"]) == (400, "invalid_image_url"), url
                assert "127.0.0.1" not in error["message"]
        assert came == []
        assert up.up.log == []


def test_image_when_preset_is_valar(tmp_path: Path) -> None:
    """S4-72 and C-61: the seed's words on a model that reads text only, in its envelope."""
    config = MODELS + '[server]\npreset = "valar"\n'
    with stage(tmp_path, config) as (served, _):
        status, _, answer = served.call("/v1/chat/completions", asked("text", data_uri(PICTURE)))
        assert status == 400
        error = json.loads(answer)["error"]
        assert error["message"] == "model 'text' does not support image input"
        assert error["type"] == "invalid_request_error"
        assert served.call("/v1/chat/completions", asked("relay", data_uri(PICTURE)))[0] == 200
        status, _, answer = served.call("/v1/chat/completions", asked("relay", *[data_uri(PICTURE)] * 21))
        assert (status, "at most 20" in json.loads(answer)["error"]["message"]) == (400, True)


def test_image_of_messages_when_it_is_fetched_or_refused(house: House) -> None:
    """Blocks are looked at as parts are: fetched for a chat target, refused where the model reads text only or the URL is wrong."""
    served = house.served

    def ask(model: str, source: dict[str, str], path: str = "/v1/messages") -> tuple[int, Any, str]:
        request_id = fresh_id()
        content = [{"type": "image", "source": source}]
        body = {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": content}]}
        status, _, answer = served.call(path, body, headers={"x-request-id": request_id})
        return status, json.loads(answer), request_id

    status, answer, request_id = ask("fetch", {"type": "url", "url": f"{house.gallery}/cat.png"})
    assert status == 200, answer
    [record] = house.upstream.until_seen(request_id)
    [part] = record.json["messages"][0]["content"]
    assert part["image_url"]["url"] == data_uri(PICTURE)
    kind, _, data = data_uri(PICTURE).removeprefix("data:").partition(";base64,")
    status, answer, _ = ask("text", {"type": "base64", "media_type": kind, "data": data})
    assert (status, answer["error"]["message"]) == (400, "model 'text' does not support image input")
    assert answer["type"] == "error"
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        status, answer, _ = ask("relay", {"type": "url", "url": "http://169.254.169.254/x.png"}, path)
        assert status == 400
        assert "messages.0.content.0.source" in answer["error"]["message"]
