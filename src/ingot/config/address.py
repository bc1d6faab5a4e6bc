"""Addresses: which hosts only this machine or its own network can be behind, and what a base URL may be.

The ranges are listed one by one: the standard library's `is_private` and `is_global` answer other questions
(100.64.0.1 is not private to it, 64:ff9b::7f00:1 is global). Refuses to resolve names.
"""

import ipaddress
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


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    address = _address(host)
    if address is None:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")
    return any(address in network for network in LOOPBACK)


def is_own_network(host: str) -> bool:
    """Whether the host is loopback, in a private range, or a name that public DNS does not give out."""
    if is_loopback(host):
        return True
    address = _address(host)
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
    if (last.isdigit() or last.startswith("0x")) and _address(host) is None:
        return "has a numeric host that is not an IPv4 address of four decimal numbers"
    return None


def _plaintext_problem(parts: SplitResult, host: str) -> str | None:
    if parts.scheme == "https" or is_own_network(host):
        return None
    return (
        f"sends keys and prompts unprotected to {host}, which is not in a private network: "
        "use https, or set allow_plaintext = true"
    )


def _address(host: str) -> Address | None:
    """The IP address that a host is, mapped IPv4 unwrapped; None for a name."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
