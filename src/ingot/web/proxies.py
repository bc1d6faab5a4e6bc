"""Who called: the peer, or the client that a trusted proxy speaks for.

    client -----> proxy -----> proxy -----> here        X-Forwarded-For: whatever the client claims, CLIENT, proxy
                     trusted      trusted                                  read from the right to here --'

Every proxy adds the address that it saw at the right end, so an entry is worth as much as the one to its right. Decides
whom to believe; refuses to know what the address is used for. Not asked for a key that is known already.
"""

from collections.abc import Iterable

from ingot.config import Address, Network, read_address, read_network, without_port

FORWARDED = b"x-forwarded-for"
LONGEST_ENTRY = 64


class Proxies:
    """The proxies that are believed."""

    __slots__ = ("_networks",)

    def __init__(self, trusted: Iterable[str]) -> None:
        """Addresses and networks as the configuration has them."""
        self._networks: tuple[Network, ...] = tuple(read_network(each) for each in trusted)

    def client(self, peer: str | None, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """The client's address in its usual writing; `headers` are all lines of the request, names in lower case.

        None where the socket has no address.
        """
        address = None if peer is None else read_address(peer)
        if address is None:
            return peer
        if self._trusts(address):
            for entry in _entries(headers):
                told = read_address(without_port(entry))
                if told is None:
                    break  # what a proxy could not name: the one who said so stands for it
                address = told
                if not self._trusts(address):
                    break
        return str(address)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _entries(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[str]:
    """What the proxies saw, the nearest first; several lines count as one."""
    lines = [value.decode("latin-1") for name, value in headers if name == FORWARDED]
    for entry in reversed(",".join(lines).split(",")):
        text = entry.strip(' \t"')
        if text:
            yield text[:LONGEST_ENTRY]


TRUST_NOBODY = Proxies(())
