"""Whose address counts when proxies stand in between."""

import pytest

from ingot.web.proxies import TRUST_NOBODY, Proxies

TRUSTED = Proxies(["127.0.0.1", "10.0.0.0/8", "fd00::/8"])


def _lines(*values: str) -> list[tuple[bytes, bytes]]:
    fields = [(b"host", b"localhost"), *((b"x-forwarded-for", value.encode("latin-1")) for value in values)]
    return [*fields, (b"x-forwarded-proto", b"https")]


@pytest.mark.parametrize(
    ("peer", "values", "client"),
    [
        # Nobody spoke for anybody.
        ("127.0.0.1", [], "127.0.0.1"),
        ("203.0.113.9", [], "203.0.113.9"),
        ("127.0.0.1", [""], "127.0.0.1"),
        ("127.0.0.1", [" , "], "127.0.0.1"),
        # One proxy; what stands further left is the client's own claim.
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["203.0.113.66, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["10.0.0.1, 127.0.0.1, 198.51.100.1"], "198.51.100.1"),
        ("fd00::5", ["2001:db8::1"], "2001:db8::1"),
        # Several proxies, in one line or in one each.
        ("10.1.2.3", ["203.0.113.66, 198.51.100.1, 10.9.9.9, 127.0.0.1"], "198.51.100.1"),
        ("10.1.2.3", ["203.0.113.66", "198.51.100.1", "10.9.9.9"], "198.51.100.1"),
        ("10.1.2.3", ["198.51.100.1,10.9.9.9,,"], "198.51.100.1"),
        # All of them are proxies: the furthest one called.
        ("10.1.2.3", ["10.7.7.7, 127.0.0.1"], "10.7.7.7"),
        # A caller that is no proxy claims what it likes.
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("127.0.0.2", ["198.51.100.1"], "127.0.0.2"),
        ("11.0.0.1", ["198.51.100.1"], "11.0.0.1"),
        # What names nobody is worth no more than the proxy that said it.
        ("127.0.0.1", ["198.51.100.1, unknown"], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1, unknown, 10.0.0.7"], "10.0.0.7"),
        ("127.0.0.1", ["198.51.100.1, _hidden, \xff"], "127.0.0.1"),
        ("127.0.0.1", ["1" * 4000], "127.0.0.1"),
        # The many writings of one address are one.
        ("127.0.0.1", ["198.51.100.1:51034"], "198.51.100.1"),
        ("127.0.0.1", ["[2001:DB8:0::1]:51034"], "2001:db8::1"),
        ("127.0.0.1", ['"[2001:db8::1]"'], "2001:db8::1"),
        ("::ffff:127.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("::ffff:203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        # A socket without an address.
        (None, ["198.51.100.1"], None),
        ("/run/ingot.sock", ["198.51.100.1"], "/run/ingot.sock"),
    ],
)
def test_client_is_the_last_address_that_is_no_proxy(
    peer: str | None, values: list[str], client: str | None
) -> None:
    """Read from the right, as each proxy adds what it saw at the end."""
    assert TRUSTED.client(peer, _lines(*values)) == client


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.0.0.1", "::1", "203.0.113.9"])
def test_client_is_the_peer_when_nobody_is_trusted(peer: str) -> None:
    """Nothing is believed unless the operator says whom to believe, not even on this machine."""
    assert TRUST_NOBODY.client(peer, _lines("198.51.100.1")) == peer
