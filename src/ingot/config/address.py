"""Addresses: which hosts only this machine or its own network can be behind, what a base URL may be, what a network is.

The ranges are listed one by one: the standard library's `is_private` and `is_global` answer other questions
(100.64.0.1 is not private to it, 64:ff9b::7f00:1 is global). Refuses to resolve names.
"""

import ipaddress
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

LOOPBACK: Final = tuple(ipaddress.ip_network(each) for each in ("127.0.0.0/8", "::1/128"))
OWN_NETWORK: Final = tuple(
    ipaddress.ip_network(each)
    for each in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",  # shared address space: carriers, and overlay networks such as Tailscale
        "169.254.0.0/16",
        "fc00::/7",
        "fe80::/10",
    )
)
OWN_SUFFIXES: Final = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".svc", ".cluster.local")
LONGEST_NAME: Final = 253

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PORT: Final = re.compile(r"\[([^\]]+)\](?::\d{1,5})?|([^:]+):\d{1,5}")
_MAPPED_BITS: Final = 96


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    address = read_address(host)
    if address is None:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")
    return any(address in network for network in LOOPBACK)


def is_own_network(host: str) -> bool:
    """Whether the host is loopback, in a private range, or a name that public DNS does not give out."""
    if is_loopback(host):
        return True
    address = read_address(host)
    if address is None:
        name = host.lower().rstrip(".")
        return "." not in name or name.endswith(OWN_SUFFIXES)
    return any(address in network for network in OWN_NETWORK)


def base_url_problem(url: str, *, allow_plaintext: bool) -> str | None:
    """What is wrong with a base URL; the text never repeats the URL, which may hold a password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "is not a URL: the host or the port cannot be read"
    if port == 0:
        return "has port 0, which no server listens on"
    if parts.scheme not in {"http", "https"}:
        return 'must begin with "http://" or "https://"'
    return (
        _form_problem(url, parts)
        or _host_problem(host)
        or (None if allow_plaintext else _plaintext_problem(parts, host))
    )


def _form_problem(url: str, parts: SplitResult) -> str | None:
    if "@" in parts.netloc:
        return "holds a user or password: use api_key or headers for credentials"
    if "?" in url or "#" in url:
        return "must not have a query or a fragment"
    if not url.isascii() or any(char in url for char in ' \\"<>^`{|}'):
        return "holds a character that a URL must escape"
    return None


def _host_problem(host: str) -> str | None:
    if not host:
        return "names no host"
    if len(host) > LONGEST_NAME or "%" in host:
        return "has a host name that cannot be used"
    last = host.rstrip(".").rpartition(".")[2]
    # 2130706433, 0x7f.1 and 127.1 are addresses to a resolver; only the four-number form says where it leads.
    if (last.isdigit() or last.startswith("0x")) and read_address(host) is None:
        return "has a numeric host that is not an IPv4 address of four decimal numbers"
    return None


def _plaintext_problem(parts: SplitResult, host: str) -> str | None:
    if parts.scheme == "https" or is_own_network(host):
        return None
    return (
        f"sends keys and prompts unprotected to {host}, which is not in a private network: "
        "use https, or set allow_plaintext = true"
    )


def read_address(host: str) -> Address | None:
    """The IP address that a host is, mapped IPv4 unwrapped; None for a name."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def without_port(text: str) -> str:
    """`10.0.0.1` of `10.0.0.1:443`, `::1` of `[::1]:443`; what has no port stays as it is."""
    match = _PORT.fullmatch(text)
    return text if match is None else match[1] or match[2]


def read_network(text: str) -> Network:
    """The network in `10.0.0.0/8`, or the one address in `10.0.0.1`; raises ValueError for any other writing."""
    network = ipaddress.ip_network(text)
    if text not in {str(network), str(network.network_address)}:
        raise ValueError(text)
    return network


def network_problem(text: str) -> str | None:
    """What is wrong with the network of a trusted proxy, and its nearest right form."""
    try:
        network = read_network(text)
    except ValueError:
        nearest = _nearest_network(text)
        if nearest is None:
            return 'is no address and no network: write one as "10.0.0.5" or "10.0.0.0/8"'
        network = nearest
    if network.prefixlen == 0:
        return "trusts everybody, and so any address that a caller makes up: name the network of the proxies"
    written = _written(network)
    return None if text in {written, f"{written}/{network.max_prefixlen}"} else f'must be written "{written}"'


def _nearest_network(text: str) -> Network | None:
    """The network that was probably meant by a URL, an address with a port, `10.*`, `10/8`, `10.0.0.1/8` or a netmask."""
    meant = text.strip().lower().rpartition("://")[2]
    if meant == "localhost":
        meant = "127.0.0.1"
    if "*" in meant:
        given = meant.split(".*")[0]
        meant = "0.0.0.0/0" if meant == "*" else f"{given}/{8 * (given.count('.') + 1)}"
    host, slash, length = without_port(meant.strip("/")).partition("/")
    if re.fullmatch(r"\d{1,3}(\.\d{1,3}){0,2}", host) and slash:
        host += ".0" * (3 - host.count("."))
    try:
        return ipaddress.ip_network(f"{without_port(host)}{slash}{length}", strict=False)
    except ValueError:
        return None


def _written(network: Network) -> str:
    """How a network stands in the file: an address alone without its length, mapped IPv4 as the IPv4 that it is."""
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            network = ipaddress.ip_network((mapped, network.prefixlen - _MAPPED_BITS))
    return str(network.network_address if network.num_addresses == 1 else network)
