"""The guarded post: what webhooks leave through. No URL makes this machine call itself, and no reply holds a sender up."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trustme

from hostile import CLOSED, TRICKS, literal
from ingot.addresses import Reach
from ingot.upstream.client import tls_context
from ingot.upstream.fetch import Fetched, Fetcher, FetchFault, FetchRefused
from unit.upstream.rawserver import Peer, Script, serving

EVERY_PORT = frozenset(range(1, 65536))
BODY = b'{"id":"evt_1"}'
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
HOME = (ipaddress.ip_network("127.0.0.0/8"),)


class Names:
    """A name server with a list of answers; each lookup takes the next one, the last one stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:  # noqa: ARG002  # the resolver's signature
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@asynccontextmanager
async def posting(
    names: Names,
    *,
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = (),
    tls: bool = False,
) -> AsyncIterator[Fetcher]:
    authority = _AUTHORITY if tls else None

    def context() -> ssl.SSLContext:
        made = tls_context()
        if authority is not None:
            authority.configure_trust(made)
        return made

    reach = Reach(http=True, ports=EVERY_PORT, networks=networks)
    fetcher = Fetcher(reach, resolve=names, tls=context, connect=0.5)
    try:
        yield fetcher
    finally:
        await fetcher.close()


_AUTHORITY = trustme.CA()


async def post(fetcher: Fetcher, url: str, *, seconds: float = 10.0, limit: int = 65_536) -> Fetched:
    headers = {"content-type": "application/json", "webhook-id": "evt_1"}
    return await fetcher.post(url, headers=headers, body=BODY, limit=limit, seconds=seconds)


async def canary(peer: Peer) -> None:
    """Whoever comes here was led astray; the server counts them."""
    await peer.gone()


def answering(seen: list[bytes], *replies: bytes) -> Script:
    """A server that notes each request and gives its answers in turn."""
    left = list(replies)

    async def script(peer: Peer) -> None:
        head = await peer.reader.readuntil(b"\r\n\r\n")
        seen.append(head + await peer.reader.readexactly(len(BODY)))
        await peer.send(left.pop(0) if len(left) > 1 else left[0])

    return script


async def test_canary_sees_nobody_when_urls_are_hostile_as_literals() -> None:
    """T-W-ssrf: every address and every trick, written into the URL."""
    async with serving(canary) as server, posting(Names(["127.0.0.1"])) as fetcher:
        urls = [literal(address, server.port) for address in CLOSED]
        urls += [trick.format(port=server.port) for trick in TRICKS]
        assert len(urls) >= 60
        for url in urls:
            with pytest.raises(FetchRefused):
                await post(fetcher, url)
        await asyncio.sleep(0.05)
        assert server.accepted == 0


async def test_canary_sees_nobody_when_names_lead_to_hostile_addresses() -> None:
    """T-W-ssrf: every address as an answer of the name server, alone, first, and last."""
    async with serving(canary) as server:
        for address in CLOSED:
            for answer in ([address], ["9.9.9.9", address], [address, "9.9.9.9"]):
                async with posting(Names(answer)) as fetcher:
                    with pytest.raises(FetchRefused) as caught:
                        await post(fetcher, f"http://innocent.example.org:{server.port}/hook")
                assert address not in str(caught.value)
        await asyncio.sleep(0.05)
        assert server.accepted == 0


async def test_canary_sees_nobody_when_the_second_answer_is_hostile() -> None:
    """T-W-ssrf: the address that was judged is connected to; a second answer is asked for by the next try, and judged."""
    nowhere = "203.0.113.9"
    async with serving(canary) as server:
        for address in CLOSED:
            if address == nowhere:
                continue
            names = Names([nowhere], [address])
            networks = (ipaddress.ip_network("203.0.113.8/31"),)
            async with posting(names, networks=networks) as fetcher:
                with pytest.raises(FetchFault):
                    await post(fetcher, f"http://rebind.example.org:{server.port}/", seconds=0.02)
                assert names.asked == 1
                with pytest.raises(FetchRefused):
                    await post(fetcher, f"http://rebind.example.org:{server.port}/", seconds=5)
        await asyncio.sleep(0.05)
        assert server.accepted == 0


async def test_canary_sees_nobody_when_a_redirect_leads_to_hostile_urls() -> None:
    """T-W-ssrf: every URL of the list as the target of a redirect: it is told as the status that it is."""
    async with serving(canary) as home:
        urls = [literal(address, home.port) for address in CLOSED]
        urls += [trick.format(port=home.port) for trick in TRICKS if trick.isascii() and "\n" not in trick]
        seen: list[bytes] = []
        replies = [
            b"HTTP/1.1 %d Moved\r\nlocation: %b\r\ncontent-length: 0\r\n\r\n"
            % ((301, 302, 303, 307, 308)[number % 5], url.strip().encode())
            for number, url in enumerate(urls)
        ]
        async with (
            serving(answering(seen, *replies)) as server,
            posting(Names(["127.0.0.1"]), networks=HOME) as fetcher,
        ):
            for _ in urls:
                reply = await post(fetcher, f"http://a.example.org:{server.port}/x")
                assert 301 <= reply.status <= 308
        assert (len(seen), home.accepted) == (len(urls), 0)


async def test_post_when_all_is_well() -> None:
    """The request names the host, carries the headers and the very body, and leaves no connection behind."""
    seen: list[bytes] = []
    async with (
        serving(answering(seen, OK)) as server,
        posting(Names(["127.0.0.1"]), networks=HOME) as fetcher,
    ):
        reply = await post(fetcher, f"http://hooks.example.org:{server.port}/a?b=c")
        assert (reply.status, reply.family, reply.body) == (200, "ipv4", b"")
        head, _, body = seen[0].partition(b"\r\n\r\n")
        lines = head.decode().splitlines()
        assert lines[0] == "POST /a?b=c HTTP/1.1"
        assert {f"host: hooks.example.org:{server.port}", "webhook-id: evt_1", "connection: close"} <= set(
            lines
        )
        assert f"content-length: {len(BODY)}" in lines
        assert body == BODY


async def test_post_when_tls_names_the_host() -> None:
    """TLS checks the certificate of the name, although the connection goes to an address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _AUTHORITY.issue_cert("hooks.example.org").configure_cert(context)
    async with (
        serving(answering([], OK), tls=context) as server,
        posting(Names(["127.0.0.1"]), networks=HOME, tls=True) as fetcher,
    ):
        assert (await post(fetcher, f"https://hooks.example.org:{server.port}/")).status == 200
        with pytest.raises(FetchFault, match="valid certificate"):
            await post(fetcher, f"https://other.example.org:{server.port}/")


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\rb", "ü"])
async def test_post_is_refused_when_a_header_is_more_than_one_line(value: str) -> None:
    """Nothing of a header becomes another one."""
    async with posting(Names(["9.9.9.9"])) as fetcher:
        with pytest.raises(ValueError, match="one line"):
            await fetcher.post(
                "https://a.example.org/", headers={"authorization": value}, body=b"", limit=1, seconds=1
            )


@pytest.mark.parametrize(
    "tail", [b"content-length: 99999999\r\n\r\n", b"\r\n", b"transfer-encoding: chunked\r\n\r\nffff\r\nxx"]
)
async def test_status_counts_when_the_rest_never_comes(tail: bytes) -> None:
    """A reply whose body has no end is let go once its status is there."""

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 202 Accepted\r\n" + tail)
        await peer.gone()

    async with (
        serving(script) as server,
        posting(Names(["127.0.0.1"]), networks=HOME) as fetcher,
    ):
        assert (await post(fetcher, f"http://a.example.org:{server.port}/", seconds=0.3)).status == 202


async def test_post_fails_when_the_head_drips() -> None:
    """The time for a try is for all of it."""

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        for byte in b"HTTP/1.1 200 OK":
            await peer.send(bytes([byte]))
            await asyncio.sleep(0.1)
        await peer.gone()

    async with (
        serving(script) as server,
        posting(Names(["127.0.0.1"]), networks=HOME) as fetcher,
    ):
        with pytest.raises(FetchFault, match=r"0\.3 s"):
            await post(fetcher, f"http://a.example.org:{server.port}/", seconds=0.3)
