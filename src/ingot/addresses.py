"""Which addresses of strangers may be called: the form of their URLs, and every IP range that is not the public internet.

    text --read_url--> Place --(somebody resolves its host)--> addresses --judge each--> None, or why it is refused

A Place holds the very parts that are connected to, so that nobody reads the URL a second time and differently. Anything
that two parsers could read in two ways is no URL here: a backslash, a user, a number that is not four decimals, a zone,
a host in percent signs. IPv4 ranges are listed one by one; of IPv6 all is closed but global unicast, less its special
parts. The standard library's `is_private` and `is_global` answer other questions: 100.64.0.1 is not private to them,
64:ff9b::7f00:1 is global. Resolves nothing, connects to nothing. Sources: the IANA special-purpose registries (RFC 6890).
"""

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LONGEST_URL: Final = 2048
LONGEST_NAME: Final = 253

_CLOSED: Final = tuple(
    ipaddress.IPv4Network(each)
    for each in (
        "0.0.0.0/8",  # this network; a connect to 0.0.0.0 reaches loopback
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared address space: carriers, overlay networks, Alibaba's metadata
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and the metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_CLOSED_UNICAST: Final = tuple(
    ipaddress.IPv6Network(each)
    for each in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
# Where clouds hand credentials to their machines; one of these answers on a public address.
METADATA: Final = frozenset(
    ipaddress.ip_address(each)
    for each in (
        "100.100.100.200",
        "168.63.129.16",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "192.0.0.192",
        "fd00:ec2::23",
        "fd00:ec2::254",
        "fd20:ce::254",
    )
)
_NAT64: Final = tuple(ipaddress.IPv6Network(each) for each in ("64:ff9b::/96", "64:ff9b:1::/48"))
_LOOPBACK: Final = ipaddress.IPv4Address("127.0.0.1")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")

_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?P<fragment>#.*)?"
)
_AUTHORITY: Final = re.compile(r"(?P<host>\[[^\[\]]*\]|[^\[\]:@]*)(?::(?P<port>[0-9]{1,5}))?")
_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_UNSAFE: Final = re.compile(r'[^!-~]|[\\"<>]')
_PORTS: Final = {"http": 80, "https": 443}


class BadUrl(ValueError):
    """A URL that is not called; the message goes on from "the URL" and never repeats it."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far calls may go: `networks` are those of the operator's own that are open beside the public internet.

    `ports` are the only ones, the schemes' own included; `literals` permits hosts that are IP addresses.
    """

    http: bool = False
    ports: frozenset[int] = frozenset({443, 8443})
    networks: tuple[Network, ...] = ()
    literals: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A URL in its parts: `host` as it is resolved and certified, `target` as the request line has it."""

    scheme: str
    host: str
    port: int
    target: str
    address: Address | None
    """The host where it is a literal address."""

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def read_url(url: str) -> Place:
    """The parts of a URL of the one form that every parser reads alike; raises BadUrl."""
    if len(url) > LONGEST_URL:
        raise BadUrl(f"is longer than {LONGEST_URL:,} characters")
    if not url.isascii():
        raise BadUrl(
            "holds a character that a URL must escape; a host of another script is written in its xn-- form"
        )
    if _UNSAFE.search(url):
        raise BadUrl("holds a character that a URL must escape")
    parts = _URL.fullmatch(url)
    scheme = "" if parts is None else parts["scheme"].lower()
    if parts is None or scheme not in _PORTS:
        raise BadUrl('must begin with "https://" or "http://"')
    if "@" in parts["authority"]:
        raise BadUrl("holds a user or a password")
    if parts["fragment"]:
        raise BadUrl("has a fragment (#), which no server is sent")
    authority = _AUTHORITY.fullmatch(parts["authority"])
    if authority is None:
        raise BadUrl("has a host or a port that cannot be read")
    port = int(authority["port"] or _PORTS[scheme])
    if not 0 < port < 65_536:
        raise BadUrl("has a port that does not exist")
    host = authority["host"].lower()
    address = _literal(host)
    if address is not None:
        host = str(address)
    target = (parts["path"] or "/") + (parts["query"] or "")
    return Place(scheme, host, port, target, address)


def check_place(place: Place, reach: Reach) -> None:
    """Raises BadUrl for what can be refused before anything is resolved: scheme, port, literal address."""
    if place.scheme == "http" and not reach.http:
        raise BadUrl('must begin with "https://"')
    if place.port not in reach.ports:
        raise BadUrl(f"names the port {place.port}, and only {_listed(reach.ports)} are called")
    if place.address is not None and not reach.literals and not _opened(place.address, reach.networks):
        raise BadUrl("names an IP address where a host name is wanted")
    reason = judge_place(place, reach.networks)
    if reason is not None:
        raise BadUrl(reason)


def judge_place(place: Place, networks: Collection[Network] = ()) -> str | None:
    """Why a place is not called, as far as its host tells without being resolved."""
    if place.address is not None:
        return judge(place.address, networks)
    if place.host == "localhost" or place.host.endswith(".localhost"):  # RFC 6761
        return judge(_LOOPBACK, networks)
    return None


def judge(address: Address, networks: Collection[Network] = ()) -> str | None:
    """Why an address is not called, None where it may be; `networks` are open by the operator's word.

    An address that holds another one is judged by both. Metadata services stay closed unless one is named by itself.
    """
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return "leads to an address of one network interface"
    opened = [network for network in networks if address in network]
    if address in METADATA and all(network.num_addresses > 1 for network in opened):
        return "leads to a cloud's metadata service"
    inner = _inner(address)
    if inner is not None:
        return judge(inner, networks) if opened else "leads to an IPv4 address inside of an IPv6 one"
    if opened or not _closed(address):
        return None
    return "leads to an address that is not on the public internet"


def _closed(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return any(address in network for network in _CLOSED)
    return address not in _UNICAST or any(address in network for network in _CLOSED_UNICAST)


def _opened(address: Address, networks: Collection[Network]) -> bool:
    return any(address in network for network in networks)


def _inner(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to this one end up at: mapped, compatible, NAT64, 6to4, Teredo."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    low = int(address) & 0xFFFF_FFFF
    if any(address in network for network in _NAT64) or (address in _COMPATIBLE and low > 1):
        return ipaddress.IPv4Address(low)
    return None


def _literal(host: str) -> Address | None:
    """The address that a host is; None for a name. Raises BadUrl for what is neither."""
    if not host:
        raise BadUrl("names no host")
    if host.startswith("["):
        try:
            address = ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise BadUrl("has an IPv6 host that cannot be read") from None
        if address.scope_id is not None:
            raise BadUrl("has an IPv6 host with a zone")
        return address
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        # 2130706433, 0x7f.1, 0177.0.0.1 and 127.1 are addresses to a resolver; only four decimals say where they lead.
        try:
            return ipaddress.IPv4Address(host)
        except ValueError:
            raise BadUrl("has a numeric host that is not an IPv4 address of four decimal numbers") from None
    if len(host) > LONGEST_NAME or not all(map(_NAME.fullmatch, labels)):
        raise BadUrl("has a host name that cannot be used")
    return None


def _listed(ports: frozenset[int]) -> str:
    return ", ".join(map(str, sorted(ports)))
