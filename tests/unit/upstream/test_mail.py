"""How mail leaves: Resend's HTTP API and SMTP, each against a server that speaks bytes."""

import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from typing import Any

import pytest
import trustme

from ingot.clock import ManualClock
from ingot.config import MailConfig
from ingot.upstream.client import Client
from ingot.upstream.mail import ConsolePost, Letter, MailFault, Post, ResendPost, SmtpPost, open_post
from keyhouse import Lines
from unit.upstream.rawserver import Peer, RawServer, serving

LETTER = Letter("mail_1", "ada@example.org", "Grüße aus London", "Two lines,\nthe second with ü.\n")
SENDER = "Ingot <ingot@example.org>"


@dataclass(slots=True)
class SmtpServer:
    """A mail server for one connection at a time; `answers` replaces what it says to a command."""

    answers: dict[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    commands: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    secured: bool = False

    async def script(self, peer: Peer) -> None:
        """Speaks SMTP until QUIT."""
        await self.say(peer, self.answers.get("hello", "220 mail.example.org"))
        while line := (await peer.reader.readline()).decode().rstrip("\r\n"):
            verb = line.split(" ")[0].upper()
            self.commands.append(line)
            said = self.answers.get(verb)
            await self.say(peer, said or self.reply(verb))
            if verb == "STARTTLS" and said is None:
                await peer.writer.start_tls(self.tls)  # type: ignore[arg-type]  # a server that offers it has one
                self.secured = True
            elif verb == "DATA" and said is None:
                self.messages.append(await peer.reader.readuntil(b"\r\n.\r\n"))
                await self.say(peer, self.answers.get("message", "250 taken"))
            elif verb == "QUIT":
                return

    def reply(self, verb: str) -> str:
        """What an obliging server says."""
        offers = "250-STARTTLS\r\n" if self.tls and not self.secured else ""
        return {
            "EHLO": f"250-mail.example.org\r\n{offers}250 AUTH PLAIN",
            "DATA": "354 go on",
            "AUTH": "235 welcome",
            "QUIT": "221 bye",
            "STARTTLS": "220 go on",
        }.get(verb, "250 ok")

    async def say(self, peer: Peer, text: str) -> None:
        """One reply."""
        await peer.send(f"{text}\r\n".encode())


def smtp(server: RawServer) -> SmtpPost:
    """A post to this server, without TLS."""
    return SmtpPost(host="127.0.0.1", port=server.port, sender=SENDER, clock=ManualClock(), security="none")


async def fault(post: Post) -> MailFault:
    """What a letter that does not leave raises."""
    with pytest.raises(MailFault) as caught:
        await post.send(LETTER)
    assert "ada" not in caught.value.reason
    return caught.value


async def test_message_is_whole_when_sent_by_smtp() -> None:
    """Addresses, subject, date, id and text arrive as they were written."""
    house = SmtpServer()
    async with serving(house.script) as server:
        await smtp(server).send(LETTER)
    message = message_from_bytes(house.messages[0], policy=policy.default)
    assert message["From"] == SENDER
    assert message["To"] == "ada@example.org"
    assert message["Subject"] == "Grüße aus London"
    assert message["Message-ID"] == "<mail_1@example.org>"
    assert message["Date"] == "Mon, 12 Jan 1970 13:46:40 +0000"
    body = message.get_body()
    assert body
    assert "the second with ü." in body.get_content()
    assert "MAIL FROM:<ingot@example.org>" in " ".join(house.commands)
    assert "RCPT TO:<ada@example.org>" in house.commands


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_password_travels_protected_when_smtp_signs_in(security: str) -> None:
    """TLS comes first, by either way, with the certificate checked."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    house = SmtpServer(tls=context if security == "starttls" else None)
    async with serving(house.script, tls=context if security == "tls" else None) as server:

        def post(tls: ssl.SSLContext | None) -> SmtpPost:
            return SmtpPost(
                host="127.0.0.1", port=server.port, sender=SENDER, clock=ManualClock(), security=security,
                user="ingot", password="a secret", tls=tls,
            )  # fmt: skip

        await post(trusted).send(LETTER)
        refused = await fault(post(None))
    assert len(house.messages) == 1
    (sign_in,) = [line for line in house.commands if line.startswith("AUTH")]
    assert base64.b64decode(sign_in.split(" ")[2]) == b"\0ingot\0a secret"
    if security == "starttls":
        assert house.commands.index("STARTTLS") < house.commands.index(sign_in)
    assert not refused.final


async def test_nothing_is_sent_when_smtp_offers_no_tls() -> None:
    """A server that lost its STARTTLS gets neither password nor mail."""
    house = SmtpServer()
    async with serving(house.script) as server:
        post = SmtpPost(
            host="127.0.0.1",
            port=server.port,
            sender=SENDER,
            clock=ManualClock(),
            user="ingot",
            password="a secret",
        )
        assert not (await fault(post)).final
    assert not [line for line in house.commands if line.startswith(("AUTH", "MAIL"))]


@pytest.mark.parametrize(
    ("answers", "final"),
    [
        ({"RCPT": "550 no such user"}, True),
        ({"RCPT": "450 mailbox busy"}, False),
        ({"message": "554 refused"}, True),
        ({"message": "451 try later"}, False),
        ({"MAIL": "530 sign in first"}, False),
        ({"hello": "421 too busy"}, False),
    ],
    ids=str,
)
async def test_try_is_final_when_the_server_refuses_the_mail_itself(
    answers: dict[str, str], *, final: bool
) -> None:
    """A 5xx to the address or the text ends it; what is about the server or the sender is tried again."""
    house = SmtpServer(answers=answers)
    async with serving(house.script) as server:
        assert (await fault(smtp(server))).final is final


async def test_mail_waits_when_no_smtp_server_answers() -> None:
    """A refused connection and one that is cut are tried again."""

    async def cut(peer: Peer) -> None:
        await peer.send(b"220 mail.example.org\r\n")

    async with serving(cut) as server:
        assert not (await fault(smtp(server))).final
    assert not (await fault(smtp(server))).final


@dataclass(slots=True)
class Api:
    """An HTTP API of Resend's shape that answers with one status."""

    status: int = 200
    heads: list[bytes] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)

    async def script(self, peer: Peer) -> None:
        """Answers every request."""
        while True:
            head = await peer.reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            self.bodies.append(json.loads(await peer.reader.readexactly(size)))
            self.heads.append(head)
            answer = b'{"message": "about ada@example.org"}'
            await peer.send(
                b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (self.status, len(answer), answer)
            )


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """The server's own HTTP client."""
    opened = Client()
    yield opened
    await opened.close()


async def test_letter_is_posted_when_sent_by_resend(client: Client) -> None:
    """One POST with the key in its header and the mail as JSON; the connection is kept for the next."""
    api = Api()
    async with serving(api.script) as server:
        post = ResendPost(client, url=f"http://127.0.0.1:{server.port}/base/", key="re_secret", sender=SENDER)
        await post.send(LETTER)
        await post.send(LETTER)
        assert server.accepted == 1
    assert api.heads[0].startswith(b"POST /base/emails HTTP/1.1\r\n")
    assert b"authorization: Bearer re_secret\r\n" in api.heads[0]
    assert api.bodies[0] == {
        "from": SENDER,
        "to": ["ada@example.org"],
        "subject": LETTER.subject,
        "text": LETTER.text,
    }


@pytest.mark.parametrize(
    ("status", "final"), [(422, True), (400, True), (401, False), (403, False), (429, False), (500, False)]
)
async def test_try_is_final_when_resend_refuses_the_mail_itself(
    client: Client, status: int, *, final: bool
) -> None:
    """A key or sender that the operator can mend makes mail wait; a bad letter ends."""
    api = Api(status=status)
    async with serving(api.script) as server:
        post = ResendPost(client, url=f"http://127.0.0.1:{server.port}", key="re_secret", sender=SENDER)
        found = await fault(post)
    assert found.final is final
    assert str(status) in found.reason


async def test_mail_waits_when_resend_does_not_answer(client: Client) -> None:
    """A lost connection is tried again."""

    async def cut(peer: Peer) -> None:
        await peer.request()

    async with serving(cut) as server:
        post = ResendPost(client, url=f"http://127.0.0.1:{server.port}", key="re_secret", sender=SENDER)
        assert not (await fault(post)).final


async def test_mail_is_in_the_log_when_sent_to_the_console() -> None:
    """Development needs no mail server: the link is in the log."""
    log = Lines()
    await ConsolePost(log).send(LETTER)
    assert log.said == [("mail", {"to": LETTER.to, "subject": LETTER.subject, "text": LETTER.text})]


@pytest.mark.parametrize(
    ("sender", "kind"), [("console", ConsolePost), ("smtp", SmtpPost), ("resend", ResendPost)]
)
async def test_post_is_the_one_that_is_configured(
    client: Client, sender: Any, kind: Callable[..., Post]
) -> None:
    """`mail.sender` chooses."""
    config = MailConfig(sender=sender, resend_api_key="re_secret")
    post = open_post(config, client=client, clock=ManualClock(), log=Lines())
    assert type(post) is kind
