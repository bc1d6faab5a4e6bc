"""The images of a request: judged at the door, fetched where their deployment wants it."""

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ingot.addresses import Reach
from ingot.catalog import Deployment, EmbeddedModel, build
from ingot.config import ImagesConfig, load
from ingot.dialects.chat import CHAT
from ingot.dialects.dialect import Call
from ingot.errors import ApiError
from ingot.services.images import SMALL, Images
from ingot.upstream.client import tls_context
from ingot.upstream.fetch import Fetcher
from pictures import data_uri, gif, png
from unit.upstream.rawserver import Peer, Script, serving

CONFIG = """
[targets.up]
base_url = "http://127.0.0.1:1/v1"
[targets.blind]
base_url = "http://127.0.0.1:2/v1"
images = "refuse"
[targets.quirky]
base_url = "http://127.0.0.1:3/v1"
quirks = { reject = ["image_url"] }
[targets.fetched]
base_url = "http://127.0.0.1:4/v1"
images = "fetch"
[models.relay]
targets = ["up"]
price = "free"
[models.refuse]
targets = ["blind", "quirky"]
price = "free"
[models.mixed]
targets = ["blind", "up"]
price = "free"
[models.fetch]
targets = ["up", "fetched"]
price = "free"
[models.said]
targets = ["up"]
images = "refuse"
price = "free"
[models.engine]
targets = ["engine:demo-tiny"]
price = "free"
"""
DEMO = EmbeddedModel(name="demo-tiny", context=512, owned_by="demo", created=1, embeddings=False)
CATALOG = build(load(CONFIG, {}), [DEMO])
PICTURE = data_uri(png(8, 8))


def deployment(name: str) -> Deployment:
    return CATALOG.resolve(name)


def call(*urls: str, spaced: bool = False) -> Call:
    parts: list[dict[str, Any]] = [{"type": "text", "text": "What is this?"}]
    parts += [{"type": "image_url", "image_url": {"url": url, "detail": "low"}} for url in urls]
    messages = [{"role": "system", "content": "Look."}, {"role": "user", "content": parts}]
    body = {"model": "m", "messages": messages, "temperature": 1.0}
    return CHAT.decode(json.dumps(body, indent=2 if spaced else None).encode())


def field(index: int) -> str:
    return f"messages[1].content[{index + 1}].image_url.url"


async def loopback(host: str, port: int) -> Sequence[str]:  # noqa: ARG001  # the resolver's signature
    return ["127.0.0.1"]


@asynccontextmanager
async def working(bounds: ImagesConfig | None = None, *networks: str) -> AsyncIterator[Images]:
    reach = Reach(
        http=True,
        ports=frozenset(range(1, 65536)),
        networks=tuple(map(ipaddress.ip_network, networks)),
        literals=True,
    )
    fetcher = Fetcher(reach, resolve=loopback, tls=tls_context)
    try:
        yield Images(bounds or ImagesConfig(), fetcher)
    finally:
        await fetcher.close()


async def refused(work: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await work
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize("name", ["refuse", "said", "engine"])
async def test_check_when_model_reads_text_only(name: str) -> None:
    """C-61's words, wherever it is said that no image is read: the targets, the model, the engine."""
    async with working() as images:
        error = await refused(images.check(call(PICTURE), deployment(name)))
    assert error.message == f"model '{name}' does not support image input"
    assert (error.param, error.code) == (field(0), "unsupported_value")


def test_catalog_when_targets_differ() -> None:
    """Images go the routes that take them, and are fetched where one of these wants that."""
    assert {name: each.images for name, each in CATALOG.deployments.items()} == {
        "relay": "relay",
        "refuse": "refuse",
        "mixed": "relay",
        "fetch": "fetch",
        "said": "refuse",
        "engine": "refuse",
        "demo-tiny": "refuse",
    }
    assert [route.images for route in deployment("mixed").routes] == ["refuse", "relay"]


@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("data:image/png;base64,AAA", "invalid_base64_image", "is not base64"),
        ("data:image/png,AAAA", "invalid_base64_image", "must be written"),
        ("data:image/tiff;base64,AAAA", "unsupported_image_media_type", "declared as 'image/tiff'"),
        (data_uri(b"%PDF-1.7"), "unsupported_image_media_type", "neither PNG, JPEG, GIF or WebP"),
        (data_uri(png(), "image/jpeg"), "invalid_image_format", "declared as 'image/jpeg'"),
        (data_uri(png()[:20]), "image_parse_error", "ends before"),
        (data_uri(b""), "image_parse_error", "is empty"),
        (data_uri(png(4097, 1)), "image_too_large", "4097 by 1 pixels, and at most 4096"),
        ("file:///etc/passwd", "invalid_image_url", 'must begin with "https://"'),
        ("https://169.254.169.254/latest/", "invalid_image_url", "metadata"),
        ("http://[::ffff:127.0.0.1]/", "invalid_image_url", "IPv4 address inside"),
        ("http://localhost:8000/a.png", "invalid_image_url", "not on the public internet"),
        ("http://2130706433/", "invalid_image_url", "numeric host"),
        ("cat.png", "invalid_image_url", "must begin with"),
        ("", "invalid_image_url", "must begin with"),
    ],
)
async def test_check_when_an_image_is_not_taken(url: str, code: str, message: str) -> None:
    """The second of three images is named by its place, with what is wrong with it, also where URLs are relayed."""
    async with working() as images:
        error = await refused(images.check(call(PICTURE, url, "https://a.org/b"), deployment("relay")))
    assert (error.param, error.code) == (field(1), code)
    assert message in error.message
    assert f"'{field(1)}'" in error.message


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/passwd", 'must begin with "https://"'),
        ("http://169.254.169.254/latest/", "metadata"),
        ("http://10.0.0.8/a.pdf", "not on the public internet"),
        ("http://localhost/a.pdf", "not on the public internet"),
    ],
)
async def test_check_when_a_document_leads_inside(url: str, message: str) -> None:
    """URLs of documents are judged as those of images, though a target fetches them; the operator's own networks are open."""
    parts = [{"type": "file", "file": {"file_data": each}} for each in ("https://a.org/b.pdf", url)]
    body = {"model": "m", "messages": [{"role": "user", "content": parts}]}
    asked = CHAT.decode(json.dumps(body).encode())
    async with working() as images:
        with pytest.raises(ApiError, match=message) as caught:
            images.judge(asked, deployment("relay"))
    assert caught.value.param == "messages[0].content[1].file.file_data"
    async with working(None, "10.0.0.0/8") as images:
        if "10.0.0.8" in url:
            images.judge(asked, deployment("relay"))


async def test_check_when_there_are_too_many() -> None:
    """C-61: at most 20."""
    async with working() as images:
        await images.check(call(*[PICTURE] * 10, *["https://a.org/x"] * 10), deployment("relay"))
        error = await refused(images.check(call(*[PICTURE] * 21), deployment("relay")))
    assert (error.param, error.code) == (field(20), "array_above_max_length")


@pytest.mark.parametrize("size", [2000, 500_000])
async def test_check_when_bytes_are_bounded(size: int) -> None:
    """The bound itself passes; a byte more does not, alone or together, in the event loop or beside it."""
    bounds = ImagesConfig(image_bytes=size, total_bytes=3 * size)
    whole, more = data_uri(png(size=size)), data_uri(png(size=size + 1))
    async with working(bounds) as images:
        await images.check(call(whole, whole, whole), deployment("relay"))
        error = await refused(images.check(call(more), deployment("relay")))
        assert (error.param, error.code) == (field(0), "image_file_too_large")
        assert f"{size:,} bytes" in error.message
        error = await refused(images.check(call(whole, whole, whole, PICTURE), deployment("relay")))
        assert (error.param, error.code) == (field(3), "image_file_too_large")
        assert f"{3 * size:,} bytes together" in error.message


def gallery(pictures: dict[str, bytes], asked: list[str], *, status: bytes = b"200 OK") -> Script:
    """A web server of these pictures by path."""

    async def script(peer: Peer) -> None:
        head = await peer.reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        asked.append(path)
        body = pictures.get(path, b"")
        await peer.send(b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))

    return script


@pytest.mark.parametrize("size", [0, 2 * SMALL])
@pytest.mark.parametrize("spaced", [False, True])
async def test_fetch_when_deployment_wants_it(size: int, spaced: bool) -> None:  # noqa: FBT001  # drawn
    """URLs become data URIs of what the bytes are; each is fetched once, and no other byte of the body changes."""
    asked: list[str] = []
    pictures = {"/a.jpg": png(3, 3, size=size), "/b": gif(5, 5)}
    async with serving(gallery(pictures, asked)) as server, working(None, "127.0.0.0/8") as images:
        base = f"http://pics.example.org:{server.port}"
        asking = call(f"{base}/a.jpg", PICTURE, f"{base}/b", f"{base}/a.jpg", spaced=spaced)
        before = asking.body.data
        await images.check(asking, deployment("fetch"))
        sent = await images.fetch(asking, deployment("fetch"), CHAT)
        expected = before.decode()
        for path, kind in (("/a.jpg", "image/png"), ("/b", "image/gif")):
            expected = expected.replace(f"{base}{path}", data_uri(pictures[path], kind))
        assert sent.body.data == expected.encode()
        assert sent.body.value == json.loads(expected)
        assert asking.body.data is before
        assert json.loads(before) == asking.body.value
        assert sorted(asked) == ["/a.jpg", "/b"]


@pytest.mark.parametrize("name", ["relay", "mixed"])
async def test_fetch_when_urls_are_relayed(name: str) -> None:
    """Nothing is fetched, and the call is the client's own."""
    asking = call("https://a.org/x.png", PICTURE)
    async with working() as images:
        await images.check(asking, deployment(name))
        assert await images.fetch(asking, deployment(name), CHAT) is asking
        only = call(PICTURE)
        assert await images.fetch(only, deployment("fetch"), CHAT) is only


@pytest.mark.parametrize(
    ("body", "status", "code", "message"),
    [
        (b"<html>", b"200 OK", "unsupported_image_media_type", "neither PNG"),
        (png(9000, 1), b"200 OK", "image_too_large", "9000 by 1"),
        (png(size=3000), b"200 OK", "image_file_too_large", "more than 2,000 bytes"),
        (b"", b"404 Not Found", "failed_to_download_image", "answered with status 404."),
        (b"", b"302 Found", "failed_to_download_image", "a redirect, and those are not followed"),
        (png(), b"206 Partial", "failed_to_download_image", "status 206"),
    ],
)
async def test_fetch_when_answer_is_no_image(body: bytes, status: bytes, code: str, message: str) -> None:
    """What is no image of the kind that is taken is refused with the place of its URL."""
    bounds = ImagesConfig(image_bytes=2000, total_bytes=20_000)
    async with (
        serving(gallery({"/x": body}, [], status=status)) as server,
        working(bounds, "127.0.0.0/8") as images,
    ):
        asking = call(PICTURE, f"http://a.example.org:{server.port}/x")
        error = await refused(images.fetch(asking, deployment("fetch"), CHAT))
    assert (error.param, error.code) == (field(1), code)
    assert message in error.message


async def test_fetch_when_all_together_are_too_large() -> None:
    """What the request holds itself counts beside what is fetched."""
    bounds = ImagesConfig(image_bytes=6000, total_bytes=10_000)
    asked: list[str] = []
    async with (
        serving(gallery({"/x": png(size=6000)}, asked)) as server,
        working(bounds, "127.0.0.0/8") as images,
    ):
        url = f"http://a.example.org:{server.port}/x"
        assert (await images.fetch(call(url, url), deployment("fetch"), CHAT)).images
        held = data_uri(png(size=6000))
        error = await refused(images.fetch(call(held, url), deployment("fetch"), CHAT))
    assert (error.param, error.code) == (field(1), "image_file_too_large")


async def test_fetch_when_a_name_leads_home() -> None:
    """A name is judged when it is resolved; nobody connects."""

    async def canary(peer: Peer) -> None:
        await peer.gone()

    async with serving(canary) as server, working() as images:
        asking = call(f"http://a.example.org:{server.port}/x")
        await images.check(asking, deployment("fetch"))
        error = await refused(images.fetch(asking, deployment("fetch"), CHAT))
        await asyncio.sleep(0.05)
        assert server.accepted == 0
    assert (error.param, error.code) == (field(0), "invalid_image_url")


async def test_fetch_when_one_of_several_fails() -> None:
    """The first failure ends the others: a refused request leaves no connection open."""
    hanging = asyncio.Event()

    async def script(peer: Peer) -> None:
        if b"/slow" in await peer.reader.readuntil(b"\r\n\r\n"):
            hanging.set()
            await peer.gone()
        else:
            await hanging.wait()
            await peer.send(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")

    async with serving(script) as server, working(None, "127.0.0.0/8") as images:
        base = f"http://a.example.org:{server.port}"
        asking = call(f"{base}/slow", f"{base}/broken")
        error = await refused(images.fetch(asking, deployment("fetch"), CHAT))
        assert error.param == field(1)
        async with asyncio.timeout(20):
            while server.connected:  # noqa: ASYNC110  # the counter sets no event
                await asyncio.sleep(0.005)
