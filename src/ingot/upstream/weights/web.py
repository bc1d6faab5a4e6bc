"""HTTP for downloads: urllib with the environment's proxies, and redirects that keep a token where it belongs.

It decides which addresses are asked at all (https, or this machine itself) and what a refusal means to a person.
Downloads are not on the inference path, so that the standard library's blocking client serves here.
"""

import http.client
import ipaddress
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from http import HTTPStatus
from typing import IO, Protocol
from urllib.parse import urljoin, urlsplit

from ingot import __version__

TIMEOUT = 60.0
MOST_REDIRECTS = 10
SECRET_HEADERS = frozenset({"authorization", "cookie"})


class PullError(Exception):
    """A pull that cannot go on; the message says why and what would help."""


class Interrupted(PullError):
    """The connection was lost or the server is busy: the same again may work."""


class Body(Protocol):
    """What is used of an open response."""

    status: int
    headers: Message

    def read(self, amount: int, /) -> bytes: ...
    def close(self) -> None: ...
    def geturl(self) -> str: ...


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects; a token stays with the host that it was meant for."""

    max_redirections = MOST_REDIRECTS

    def __init__(self, *, allow_http: bool) -> None:
        self._allow_http = allow_http

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],  # noqa: ARG002 - the base class's signature
        code: int,  # noqa: ARG002 - as above
        msg: str,  # noqa: ARG002 - as above
        headers: http.client.HTTPMessage,  # noqa: ARG002 - as above
        newurl: str,
    ) -> urllib.request.Request:
        """The request that a redirect asks for."""
        check_url(newurl, allow_http=self._allow_http)
        kept = {name: value for name, value in req.header_items() if name.lower() != "host"}
        if origin(newurl) != origin(req.full_url):
            kept = {name: value for name, value in kept.items() if name.lower() not in SECRET_HEADERS}
        return urllib.request.Request(newurl, headers=kept)  # noqa: S310 - checked above


class Web:
    """Opens addresses."""

    def __init__(self, *, allow_http: bool = False, timeout: float = TIMEOUT) -> None:
        """`allow_http` permits plain http to other machines than this one."""
        self.allow_http = allow_http
        self._timeout = timeout
        self._opener = urllib.request.build_opener(
            Redirects(allow_http=allow_http),
            urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        )

    def open(self, url: str, headers: Mapping[str, str] | None = None) -> Body:
        """The open response to a GET; HTTPError for a refusal, Interrupted where nothing was reached."""
        check_url(url, allow_http=self.allow_http)
        own = {"User-Agent": f"ingot/{__version__}", **(headers or {})}
        request = urllib.request.Request(url, headers=own)  # noqa: S310 - checked above
        try:
            body: Body = self._opener.open(request, timeout=self._timeout)
        except urllib.error.HTTPError as error:
            # Its head is read; the rest would keep the connection for as long as somebody tells of it.
            error.close()
            raise
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise PullError(
                    f"{host_of(url)}: its certificate is not trusted ({error.reason.verify_message})"
                ) from error
            raise Interrupted(f"{host_of(url)} cannot be reached: {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            raise Interrupted(f"the connection to {host_of(url)} was lost: {error!r}") from error
        return body

    def read(
        self, url: str, headers: Mapping[str, str] | None = None, *, limit: int
    ) -> tuple[bytes, Message]:
        """A whole small response and its headers."""
        body = self.open(url, headers)
        try:
            data = body.read(limit + 1)
        except (OSError, http.client.HTTPException) as error:
            raise Interrupted(f"the connection to {host_of(url)} was lost: {error!r}") from error
        finally:
            body.close()
        if len(data) > limit:
            raise PullError(f"the answer of {host_of(url)} is longer than {limit} bytes")
        return data, body.headers


def check_url(url: str, *, allow_http: bool) -> None:
    """Refuses what is neither https nor this machine."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise PullError(f"{url!r} is not an address")
    if parts.scheme == "https" or (parts.scheme == "http" and (allow_http or is_loopback(parts.hostname))):
        return
    raise PullError(
        f"{parts.scheme}://{parts.hostname} is refused: weights come by https only (--allow-http permits http)"
    )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by name or number."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port: what a token belongs to."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port


def host_of(url: str) -> str:
    """The host of an address, for messages: the rest may hold a signature."""
    return urlsplit(url).hostname or url


def next_page(headers: Message, url: str) -> str | None:
    """The address of a list's next page (`Link: <...>; rel="next"`), on the same host alone."""
    for link in (headers.get("Link") or "").split(","):
        address, _, parameters = link.partition(";")
        if 'rel="next"' in parameters:
            found = urljoin(url, address.strip(" <>"))
            return found if origin(found) == origin(url) else None
    return None


def refused(error: urllib.error.HTTPError, what: str) -> PullError:
    """A refusal in words."""
    if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR or error.code in {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
    }:
        return Interrupted(f"{what}: the server answered {error.code} {error.reason}")
    if error.code == HTTPStatus.NOT_FOUND:
        return PullError(f"{what} does not exist (404)")
    return PullError(f"{what}: the server answered {error.code} {error.reason}")
