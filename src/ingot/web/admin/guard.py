"""What the admin API reads from a request's head: the session's cookie, a key, the page it came from.

    cookie   `__Host-sid; Secure` behind https; `sid` on plain http of this machine, for development
    origin   every call that changes something by cookie comes from our own pages, or is refused

Decides no right.
"""

from urllib.parse import urlsplit

from starlette.requests import Request

from ingot.config import is_loopback
from ingot.errors import ClientError, Forbidden
from ingot.services.accounts.sessions import ABSOLUTE_SECONDS
from ingot.web.intake import read_credential

SAFE_METHODS = frozenset({"GET", "HEAD"})
SAME_SITE = frozenset({"same-origin", "none"})
JSON = "application/json"
TOKEN_LENGTH = 64


class Cookies:
    """The session's cookie: how it is named, set and read."""

    def __init__(self, url: str) -> None:
        """`url` is the address under which browsers reach this server."""
        parts = urlsplit(url)
        # Elsewhere without https the cookie is refused by the browser: a session must not cross a network in the open.
        plain = parts.scheme == "http" and is_loopback(parts.hostname or "")
        self.name = "sid" if plain else "__Host-sid"
        self._attributes = "; Path=/; HttpOnly; SameSite=Lax" + ("" if plain else "; Secure")

    def read(self, request: Request) -> str | None:
        """The token that the browser holds."""
        for pair in request.headers.get("cookie", "").split(";"):
            name, _, value = pair.strip().partition("=")
            if name == self.name and len(value) == TOKEN_LENGTH:
                return value
        return None

    def put(self, token: str) -> str:
        """The Set-Cookie that gives a browser a token."""
        return f"{self.name}={token}; Max-Age={ABSOLUTE_SECONDS}{self._attributes}"

    def drop(self) -> str:
        """The Set-Cookie that makes a browser forget its token."""
        return f"{self.name}=; Max-Age=0{self._attributes}"


def origin_of(url: str) -> str:
    """The origin of an address, as browsers write it."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{host}" + ("" if parts.port in {None, default} else f":{parts.port}")


def check_origin(request: Request, own: str) -> None:
    """Raises Forbidden for a change that another site's page may have sent with our cookie."""
    if request.method in SAFE_METHODS or request.headers.get("sec-fetch-site") in SAME_SITE:
        return
    if request.headers.get("origin", "").lower() != own:
        raise Forbidden(
            f"A change comes from this server's own pages (Origin: {own}), or carries an admin key as "
            "`Authorization: Bearer KEY`.",
            code="foreign_origin",
        )


def check_json(request: Request, *, expected: bool) -> None:
    """Raises for a body that is announced as anything but JSON; `expected` tells whether the route takes one."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == JSON or (not kind and not expected):
        return
    raise ClientError(
        "The admin API takes JSON alone: send Content-Type: application/json.",
        status=415,
        code="unsupported_media_type",
    )


def presented_key(request: Request) -> bytes | None:
    """The key that the request carries; None where it carries none in any header."""
    authorization = request.headers.get("authorization")
    api_key = request.headers.get("x-api-key")
    if authorization is None and api_key is None:
        return None
    return read_credential(
        None if authorization is None else authorization.encode("latin-1"),
        None if api_key is None else api_key.encode("latin-1"),
    )
