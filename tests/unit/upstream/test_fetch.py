"""The guarded fetch: no URL makes this machine call what is not the public internet, by literal, name, or redirect."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import trustme

from hostile import CLOSED, TRICKS, literal
from ingot.addresses import Reach
from ingot.upstream.client import tls_context
from ingot.upstream.fetch import Fetched, Fetcher, FetchFault, FetchRefused, FetchTooLarge, Resolver
from unit.upstream.rawserver import Peer, Script, serving, until

EVERY_PORT = frozenset(range(1, 65536))
NOWHERE = "203.0.113.1"
OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello"


class Names:
    """A name server with a list of answers; each lookup takes the next one, the last one stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:  # noqa: ARG002  # the resolver's signature
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not answer:
            raise OSError("no such host")
        return answer


def reach(*networks: str) -> Reach:
    return Reach(
        http=True, ports=EVERY_PORT, networks=tuple(map(ipaddress.ip_network, networks)), literals=True
    )


@asynccontextmanager
async def fetching(
    resolve: Callable[[str, int], Awaitable[Sequence[str]]],
    *,
    within: Reach,
    tls: Callable[[], ssl.SSLContext] = tls_context,
) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(within, resolve=resolve, tls=tls)
    try:
        yield fetcher
    finally:
        await fetcher.close()


async def get(fetcher: Fetcher, url: str, *, limit: int = 1000, seconds: float = 20.0) -> Fetched:
    return await fetcher.get(url, accept="*/*", limit=limit, seconds=seconds)


def heads(seen: list[bytes], *answers: bytes) -> Script:
    """A server that notes each request's head and gives its answers in turn."""
    left = list(answers)

    async def script(peer: Peer) -> None:
        seen.append(await peer.reader.readuntil(b"\r\n\r\n"))
        await peer.send(left.pop(0) if len(left) > 1 else left[0])

    return script


async def canary(peer: Peer) -> None:
    """Whoever comes here was led astray; the server counts them."""
    await peer.gone()


async def test_get_when_urls_are_hostile() -> None:
    """120 URLs that lead to this machine or its network by literal or by trick: nobody connects to the canary."""
    async with serving(canary) as server, fetching(Names(["127.0.0.1"]), within=reach()) as fetcher:
        urls = [literal(address, server.port) for address in CLOSED]
        urls += [trick.format(port=server.port) for trick in TRICKS]
        assert len(urls) >= 120
        for url in urls:
            with pytest.raises(FetchRefused):
                await get(fetcher, url)
        await asyncio.sleep(0.05)
        assert server.accepted == 0


async def test_get_when_a_name_leads_home() -> None:
    """A name is refused for any closed address among its answers, wherever it stands; nobody connects to the canary."""
    async with serving(canary) as server:
        for address in CLOSED:
            for answer in ([address], ["9.9.9.9", address], [address, "9.9.9.9"]):
                names = Names(answer)
                async with fetching(names, within=reach()) as fetcher:
                    with pytest.raises(FetchRefused) as caught:
                        await get(fetcher, f"http://innocent.example.org:{server.port}/")
                assert names.asked == ["innocent.example.org"]
                assert address not in str(caught.value)
        await asyncio.sleep(0.05)
        assert server.accepted == 0


async def test_get_when_a_name_is_bound_anew() -> None:
    """The address that was judged is the one that is connected to: a second answer is never asked for."""
    async with serving(canary) as server:
        names = Names([NOWHERE], ["127.0.0.1"])
        within = reach("203.0.113.0/24")  # nobody is there, so the connection fails or waits
        async with fetching(names, within=within) as fetcher:
            with pytest.raises(FetchFault):
                await get(fetcher, f"http://rebind.example.org:{server.port}/", seconds=0.3)
        assert len(names.asked) == 1
        assert server.accepted == 0


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"303 See Other", b"307 T", b"308 P"])
async def test_get_when_answer_redirects(status: bytes) -> None:
    """A redirect is an answer like any other: it is handed over, and nobody goes there."""
    seen: list[bytes] = []
    async with serving(canary) as home:
        answer = b"HTTP/1.1 %b\r\nlocation: http://127.0.0.1:%d/\r\ncontent-length: 0\r\n\r\n" % (
            status,
            home.port,
        )
        async with (
            serving(heads(seen, answer)) as server,
            fetching(Names(["127.0.0.1"]), within=reach("127.0.0.0/8")) as fetcher,
        ):
            reply = await get(fetcher, f"http://a.example.org:{server.port}/x")
        assert reply.status == int(status[:3])
        assert (len(seen), home.accepted) == (1, 0)


async def test_get_when_all_is_well() -> None:
    """The request names the host, asks for no compression, and leaves no connection behind."""
    seen: list[bytes] = []
    async with (
        serving(heads(seen, OK)) as server,
        fetching(Names(["127.0.0.1"]), within=reach("127.0.0.0/8")) as fetcher,
    ):
        for _ in range(2):
            reply = await get(fetcher, f"http://pics.example.org:{server.port}/a/b.png?c=d")
            assert (reply.status, reply.body) == (200, b"hello")
            assert (b"content-type", b"text/plain") in reply.headers
        lines = seen[0].decode().splitlines()
        assert lines[0] == "GET /a/b.png?c=d HTTP/1.1"
        assert f"host: pics.example.org:{server.port}" in lines
        assert "accept-encoding: identity" in lines
        assert "authorization" not in seen[0].decode().lower()
        await until(lambda: server.connected == 0)
        assert server.accepted == 2


async def test_get_when_environment_names_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment would resolve the name anew; it is not asked."""
    seen: list[bytes] = []
    async with serving(canary) as proxy, serving(heads(seen, OK)) as server:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with fetching(Names(["127.0.0.1"]), within=reach("127.0.0.0/8")) as fetcher:
            assert (await get(fetcher, f"http://a.example.org:{server.port}/")).body == b"hello"
        assert proxy.accepted == 0


async def test_get_when_the_first_address_is_dead() -> None:
    """A host of several addresses is tried on the next where one refuses."""
    seen: list[bytes] = []
    async with serving(heads(seen, OK)) as server:
        names = Names(["127.0.0.9", "127.0.0.1"])
        async with fetching(names, within=reach("127.0.0.0/8")) as fetcher:
            assert (await get(fetcher, f"http://a.example.org:{server.port}/")).body == b"hello"


async def test_get_when_tls_names_the_host() -> None:
    """TLS checks the certificate of the name, although the connection goes to an address."""
    authority = trustme.CA()

    def trusting() -> ssl.SSLContext:
        context = tls_context()
        authority.configure_trust(context)
        return context

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("pics.example.org").configure_cert(context)
    async with (
        serving(heads([], OK), tls=context) as server,
        fetching(Names(["127.0.0.1"]), within=reach("127.0.0.0/8"), tls=trusting) as fetcher,
    ):
        assert (await get(fetcher, f"https://pics.example.org:{server.port}/")).body == b"hello"
        with pytest.raises(FetchFault, match="valid certificate"):
            await get(fetcher, f"https://other.example.org:{server.port}/")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001,
    ],
)
async def test_get_when_answer_is_too_large(answer: bytes) -> None:
    """A body beyond the limit is refused as soon as that is known, whether it says so or not."""
    async with (
        serving(heads([], answer)) as server,
        fetching(Names(["127.0.0.1"]), within=reach("127.0.0.0/8")) as fetcher,
    ):
        with pytest.raises(FetchFault) as caught:
            await get(fetcher, f"http://a.example.org:{server.port}/")
        if b"99999" not in answer:  # no HTTP parser takes that number
            assert isinstance(caught.value, FetchTooLarge)


async def test_get_when_answer_is_as_large_as_may_be() -> None:
    """The limit itself is allowed."""
    answer = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000
    async with (
        serving(heads([], answer)) as server,
        fetching(Names(["127.0.0.1"]), within=reach("127.0.0.0/8")) as fetcher,
    ):
        assert len((await get(fetcher, f"http://a.example.org:{server.port}/")).body) == 1000


async def test_get_when_answer_drips() -> None:
    """The time counts for the whole answer: a byte now and then does not prolong it."""

    async def drip(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n")
        while True:
            await peer.send(b"x")
            await asyncio.sleep(0.01)

    async with (
        serving(drip) as server,
        fetching(Names(["127.0.0.1"]), within=reach("127.0.0.0/8")) as fetcher,
    ):
        with pytest.raises(FetchFault, match=r"within 0\.2 s"):
            await get(fetcher, f"http://a.example.org:{server.port}/", seconds=0.2)
        await until(lambda: server.connected == 0)


async def test_get_when_name_server_is_silent() -> None:
    """A lookup that never ends counts into the same time."""

    async def silent(host: str, port: int) -> Sequence[str]:  # noqa: ARG001  # the resolver's signature
        await asyncio.Event().wait()
        return []

    async with fetching(silent, within=reach()) as fetcher:
        with pytest.raises(FetchFault, match="within"):
            await get(fetcher, "https://slow.example.org/", seconds=0.1)


@pytest.mark.parametrize(
    "answer", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"]
)
async def test_get_when_answer_is_broken(answer: bytes) -> None:
    """An answer that breaks off is no answer, and the refusal names no address."""
    async with (
        serving(heads([], answer)) as server,
        fetching(Names(["127.0.0.1"]), within=reach("127.0.0.0/8")) as fetcher,
    ):
        with pytest.raises(FetchFault, match="not answered whole") as caught:
            await get(fetcher, f"http://a.example.org:{server.port}/")
        assert "127.0.0.1" not in str(caught.value)


async def test_get_when_host_is_unknown() -> None:
    """A name without an address is told as such."""
    async with fetching(Names([]), within=reach()) as fetcher:
        with pytest.raises(FetchFault, match="cannot be found"):
            await get(fetcher, "https://nobody.example.org/")


async def test_resolver_when_asked_for_this_machine() -> None:
    """The system's resolver gives each address once, as text."""
    resolver = Resolver()
    try:
        found = await resolver("localhost", 80)
    finally:
        resolver.close()
    assert found
    assert len(set(found)) == len(found)
    assert all(ipaddress.ip_address(each).is_loopback for each in found)
