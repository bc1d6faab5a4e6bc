"""Which addresses of strangers may be called."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostile import CLOSED, TRICKS, literal
from ingot.addresses import METADATA, BadUrl, Place, Reach, check_place, judge, read_url

OPEN = (
    "1.1.1.1",
    "8.8.8.8",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "126.255.255.255",
    "128.0.0.1",
    "168.63.129.17",
    "172.15.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "192.167.255.255",
    "192.169.0.1",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "2001:4860:4860::8888",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "3ffe:ffff::1",
)


@pytest.mark.parametrize("address", CLOSED)
def test_judge_when_address_is_not_public(address: str) -> None:
    """Private, shared, loopback, link-local, multicast, reserved, documentation, metadata, and all disguises of those."""
    reason = judge(ipaddress.ip_address(address))
    assert reason is not None
    assert address not in reason


@pytest.mark.parametrize("address", OPEN)
def test_judge_when_address_is_public(address: str) -> None:
    """The neighbours of closed ranges are open."""
    assert judge(ipaddress.ip_address(address)) is None


@given(st.ip_addresses(v=4))
def test_judge_when_ipv4_hides_in_ipv6(address: ipaddress.IPv4Address) -> None:
    """No IPv6 form of any IPv4 address is called."""
    number = int(address)
    for prefix in ("::ffff:0:0", "64:ff9b::", "::", "64:ff9b:1::"):
        inner = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | number)
        assert judge(inner) is not None
    assert judge(ipaddress.IPv6Address(0x2002 << 112 | number << 80)) is not None


@given(st.ip_addresses())
def test_judge_when_library_calls_it_private(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Whatever the standard library knows as not global is closed here, too."""
    if not address.is_global or address.is_multicast:
        assert judge(address) is not None


def test_judge_when_operator_opens_a_network() -> None:
    """What is opened is open, and nothing beside it; a metadata service only where it is named by itself."""
    networks = (ipaddress.ip_network("10.20.0.0/16"), ipaddress.ip_network("169.254.0.0/16"))
    assert judge(ipaddress.ip_address("10.20.3.4"), networks) is None
    assert judge(ipaddress.ip_address("10.21.3.4"), networks) is not None
    assert judge(ipaddress.ip_address("169.254.1.1"), networks) is None
    for each in METADATA:
        wide = ipaddress.ip_network(f"{each}/{each.max_prefixlen - 1}", strict=False)
        assert judge(each, (wide,)) == "leads to a cloud's metadata service"
        assert judge(each, (wide, ipaddress.ip_network(str(each)))) is None


def test_judge_when_operator_opens_a_translator() -> None:
    """Behind NAT64 the address that is reached counts as well."""
    networks = (ipaddress.ip_network("64:ff9b::/96"),)
    assert judge(ipaddress.ip_address("64:ff9b::8.8.8.8"), networks) is None
    assert judge(ipaddress.ip_address("64:ff9b::127.0.0.1"), networks) is not None
    assert judge(ipaddress.ip_address("64:ff9b::169.254.169.254"), networks) is not None


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://example.org", Place("https", "example.org", 443, "/", None)),
        ("HTTPS://Example.ORG/A/b.png", Place("https", "example.org", 443, "/A/b.png", None)),
        ("http://a.b-c.xn--p1ai:8080/x?y=1&z=/", Place("http", "a.b-c.xn--p1ai", 8080, "/x?y=1&z=/", None)),
        ("https://h_1.example.org?q", Place("https", "h_1.example.org", 443, "/?q", None)),
        (
            "https://9.9.9.9/x",
            Place("https", "9.9.9.9", 443, "/x", ipaddress.IPv4Address("9.9.9.9")),
        ),
        (
            "https://[2606:4700:0::1111]:8443/x",
            Place("https", "2606:4700::1111", 8443, "/x", ipaddress.IPv6Address("2606:4700::1111")),
        ),
    ],
)
def test_read_url_when_it_is_plain(url: str, place: Place) -> None:
    """Scheme, host, port and target come out as they are connected to and asked for."""
    assert read_url(url) == place


def test_authority_when_port_is_the_usual() -> None:
    """The Host header names a port only where it has to, and brackets IPv6."""
    urls = ("https://a.org/", "https://a.org:443/", "http://a.org:443/", "https://[2606:4700::1]:8443/")
    assert [read_url(url).authority for url in urls] == ["a.org", "a.org", "a.org:443", "[2606:4700::1]:8443"]


@pytest.mark.parametrize("url", TRICKS)
def test_check_place_when_url_plays_a_trick(url: str) -> None:
    """A form that two parsers could read in two ways, or that leads home, is refused without being said back."""
    reach = Reach(http=True, ports=frozenset(range(1, 65536)), literals=True)
    with pytest.raises(BadUrl) as caught:
        check_place(read_url(url.format(port=8080)), reach)
    assert "127" not in str(caught.value)


@pytest.mark.parametrize("address", CLOSED)
def test_check_place_when_host_is_a_closed_address(address: str) -> None:
    """A literal address is judged before anything is connected to."""
    reach = Reach(http=True, ports=frozenset({8080}), literals=True)
    with pytest.raises(BadUrl, match="leads to"):
        check_place(read_url(literal(address, 8080)), reach)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.org/", 'must begin with "https://"'),
        ("https://example.org:22/", "names the port 22, and only 443, 8443 are called"),
        ("https://9.9.9.9/", "names an IP address where a host name is wanted"),
        (f"https://example.org/{'x' * 2048}", "longer than 2,048 characters"),
        (f"https://{'a' * 64}.org/", "a host name that cannot be used"),
        (f"https://{'a.' * 126}org/", "a host name that cannot be used"),
        ("https://example.org:0/", "a port that does not exist"),
        ("https://example.org:65536/", "a port that does not exist"),
        ("https://bücher.example/", "its xn-- form"),
    ],
)
def test_check_place_when_reach_is_the_smallest(url: str, message: str) -> None:
    """By default https, two ports and names alone are called, and the refusal says what would be right."""
    with pytest.raises(BadUrl, match=message):
        check_place(read_url(url), Reach())


def test_check_place_when_literal_is_opened() -> None:
    """An address in an operator's own network may be named by its number."""
    reach = Reach(networks=(ipaddress.ip_network("10.0.0.0/8"),))
    check_place(read_url("https://10.1.2.3/"), reach)
