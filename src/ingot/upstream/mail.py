"""How a mail leaves: through Resend's HTTP API, an SMTP server, or, for development, into the log.

A Post sends one letter or raises MailFault, which says whether another try may help. Decides nothing about when, how
often and what; a fault's text never holds an address, a text or a credential.
"""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Protocol
from urllib.parse import urlsplit

import aiosmtplib
import msgspec

from ingot import __version__
from ingot.clock import Clock
from ingot.config import MailConfig
from ingot.logs import Log
from ingot.upstream.client import Client, Origin, UpstreamFault, tls_context

SECONDS = 20.0
LONGEST_REPLY = 65_536
BUSY = frozenset({408, 409, 425, 429})


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail; `id` stays the same from try to try."""

    id: str
    to: str
    subject: str
    text: str


class MailFault(Exception):
    """A mail did not leave; `final` when no other try would change that."""

    def __init__(self, reason: str, *, final: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


class Post(Protocol):
    """A way out for mail."""

    async def send(self, letter: Letter) -> None:
        """Returns once the mail is somebody else's to deliver; raises MailFault."""
        ...


@dataclass(frozen=True, slots=True)
class _Limits:
    connect: float = SECONDS
    first_byte: float = SECONDS
    idle: float = SECONDS


class ConsolePost:
    """Prints mails to the log, links included: for development."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def send(self, letter: Letter) -> None:
        """Never fails."""
        self._log.info("mail", to=letter.to, subject=letter.subject, text=letter.text)


class ResendPost:
    """Sends through an HTTP API of Resend's shape: `POST {url}/emails`."""

    def __init__(
        self, client: Client, *, url: str, key: str, sender: str, tls: ssl.SSLContext | None = None
    ) -> None:
        """`tls` is the context of an https address; the system's authorities where none is given."""
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        self._client = client
        self._origin = Origin(
            parts.hostname or "",
            parts.port or (443 if secure else 80),
            (tls or tls_context()) if secure else None,
        )
        self._start = (
            f"POST {parts.path.rstrip('/')}/emails HTTP/1.1\r\nhost: {parts.netloc}\r\n"
            f"user-agent: ingot/{__version__}\r\nauthorization: Bearer {key}\r\n"
            "content-type: application/json\r\naccept: application/json\r\naccept-encoding: identity\r\n"
        ).encode("latin-1")
        self._sender = sender

    async def send(self, letter: Letter) -> None:
        """Returns once the API has taken it."""
        body = msgspec.json.encode(
            {"from": self._sender, "to": [letter.to], "subject": letter.subject, "text": letter.text}
        )
        head = b"%bcontent-length: %d\r\n\r\n" % (self._start, len(body))
        try:
            reply = await self._client.open(self._origin, head=head, body=body, timeouts=_Limits())
            try:
                await reply.read(LONGEST_REPLY)
            finally:
                reply.close()
        except UpstreamFault as fault:
            raise MailFault(f"the mail API did not answer ({type(fault).__name__})", final=False) from fault
        if 200 <= reply.status < 300:
            return
        # A wrong key or an unverified sender is the operator's to mend: the mail waits for it.
        waits = reply.status in BUSY | {401, 403} or reply.status >= 500
        raise MailFault(f"the mail API answered with status {reply.status}", final=not waits)


class SmtpPost:
    """Sends through an SMTP server, one connection a mail."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        sender: str,
        clock: Clock,
        security: str = "starttls",
        user: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`security` is `starttls`, `tls` or `none`; `tls` the context where it is not the system's."""
        self._host = host
        self._port = port
        self._sender = sender
        self._clock = clock
        self._security = security
        self._user = user
        self._password = password
        self._tls = tls

    async def send(self, letter: Letter) -> None:
        """Returns once the server has taken it."""
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = letter.to
        message["Subject"] = letter.subject
        message["Date"] = format_datetime(datetime.fromtimestamp(self._clock.now(), UTC))
        domain = parseaddr(self._sender)[1].rpartition("@")[2] or "localhost"
        message["Message-ID"] = f"<{letter.id}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.text)
        try:
            await aiosmtplib.send(
                message,
                hostname=self._host,
                port=self._port,
                username=self._user,
                password=self._password,
                use_tls=self._security == "tls",
                start_tls=self._security == "starttls",
                tls_context=None if self._security == "none" else self._tls,
                timeout=SECONDS,
            )
        except aiosmtplib.SMTPAuthenticationError as fault:
            raise MailFault(f"the mail server refused the sign-in ({fault.code})", final=False) from fault
        except aiosmtplib.SMTPRecipientsRefused as fault:
            codes = [each.code for each in fault.recipients]
            raise MailFault(
                f"the mail server refused the address ({', '.join(map(str, codes))})",
                final=all(code >= 500 for code in codes),
            ) from fault
        except aiosmtplib.SMTPResponseException as fault:
            # 5xx to a message is final by RFC 5321; what comes before it is about the sender or the server.
            final = fault.code >= 500 and isinstance(fault, aiosmtplib.SMTPDataError)
            raise MailFault(f"the mail server answered with {fault.code}", final=final) from fault
        except (aiosmtplib.SMTPException, OSError) as fault:
            raise MailFault(
                f"the mail server did not answer ({type(fault).__name__})", final=False
            ) from fault


def open_post(config: MailConfig, *, client: Client, clock: Clock, log: Log) -> Post:
    """The way out that the configuration names."""
    if config.sender == "resend":
        return ResendPost(
            client, url=config.resend_url, key=config.resend_api_key or "", sender=config.address
        )
    if config.sender == "smtp":
        return SmtpPost(
            host=config.smtp_host,
            port=config.smtp_port,
            sender=config.address,
            clock=clock,
            security=config.smtp_tls,
            user=config.smtp_user,
            password=config.smtp_password,
        )
    return ConsolePost(log)
