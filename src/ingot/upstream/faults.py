"""What can go wrong with a call below HTTP, as one tree, and the address that every message names.

    UpstreamFault               sent, answered, stale
      ConnectFailed             no connection: name, route, refusal, TLS
      ConnectTimeout            no connection in time (TCP and TLS together)
      FirstByteTimeout          the request went out, no reply head came in time
      IdleTimeout               the upstream fell silent inside a body, the reply's or the request's
      ConnectionLost            closed or reset before the end of the reply
      ProtocolFault             bytes that are not HTTP/1.1, or more head or framing than allowed
      ReplyTooLarge             the body is longer than the reader allows

It decides nothing about retries: it only tells the caller what is known.
"""

import ssl
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """Where to connect; `server_name` is for SNI and the certificate where it differs from `host`."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class UpstreamFault(Exception):
    """A call that failed below HTTP: `sent`, request bytes may have reached the upstream; `answered`, a reply
    byte came; `stale`, a kept connection turned out to be closed before any reply byte.
    """

    def __init__(
        self, message: str, *, sent: bool = False, answered: bool = False, stale: bool = False
    ) -> None:
        super().__init__(message)
        self.sent = sent
        self.answered = answered
        self.stale = stale


class ConnectFailed(UpstreamFault):
    pass


class ConnectTimeout(UpstreamFault):
    pass


class FirstByteTimeout(UpstreamFault):
    pass


class IdleTimeout(UpstreamFault):
    pass


class ConnectionLost(UpstreamFault):
    pass


class ProtocolFault(UpstreamFault):
    pass


class ReplyTooLarge(UpstreamFault):
    pass
