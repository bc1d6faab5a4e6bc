"""The mails that accounts cause: what they say, and the token that each gets at the moment when it is written.

    cause --one transaction--> link or invitation + outbox row     nobody knows a token yet
    sender --lease--> write(): fresh token, its SHA-256 takes the old one's place --> text

So no token is ever stored, and a mail whose link was used or taken back meanwhile is not sent. Texts are plain, short,
and say what to do. Decides nothing about how mail leaves.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection

from ingot.clock import Clock
from ingot.ids import NewId
from ingot.services.accounts.records import RandomBytes, digest_of, new_token, random_bytes
from ingot.store import accounts, members, outbox
from ingot.store.accounts import Purpose
from ingot.store.database import Database
from ingot.store.outbox import OutboxRow
from ingot.store.schema import micros

KIND = "mail"
VERIFY_SECONDS = 24 * 3600
RESET_SECONDS = 30 * 60
INVITATION_SECONDS = 7 * 86400
MAILS_AN_HOUR = 3
HOUR = 3600


@dataclass(frozen=True, slots=True)
class Text:
    """A mail's subject and body."""

    subject: str
    body: str


def _verify(url: str, token: str, fields: Mapping[str, Any]) -> Text:  # noqa: ARG001  # the texts' common shape
    return Text(
        "Verify your mail address",
        f"Somebody, you we hope, signed up at {url} with this address.\n\n"
        f"Open this link within 24 hours and enter the password you chose:\n{url}/verify#token={token}\n\n"
        f"A program sends the token to POST {url}/admin/v1/auth/verify instead.\n"
        "If it was not you, do nothing: without the link the account stays unusable.\n",
    )


def _reset(url: str, token: str, fields: Mapping[str, Any]) -> Text:  # noqa: ARG001  # as above
    return Text(
        "Set a new password",
        f"Somebody asked for a new password for your account at {url}.\n\n"
        f"Open this link within 30 minutes to choose one:\n{url}/reset#token={token}\n\n"
        f"A program sends the token to POST {url}/admin/v1/auth/reset instead.\n"
        "If it was not you, do nothing: your password stays as it is.\n",
    )


def _exists(url: str, token: str, fields: Mapping[str, Any]) -> Text:  # noqa: ARG001  # as above
    return Text(
        "You have an account already",
        f"Somebody, you perhaps, signed up at {url} with this address, which has an account already.\n\n"
        f"Log in with your password. If you forgot it, open this link within 30 minutes to choose another:\n"
        f"{url}/reset#token={token}\n\n"
        "If it was not you, do nothing.\n",
    )


def _invitation(url: str, token: str, fields: Mapping[str, Any]) -> Text:
    return Text(
        f"Invitation to {fields['organization']}",
        f"{fields['inviter']} invites you to the organization {fields['organization']} at {url}, "
        f"as {fields['role']}.\n\n"
        f"Open this link within 7 days to join:\n{url}/invitation#token={token}\n\n"
        f"A program sends the token to POST {url}/admin/v1/invitations/accept, or with an address and a password "
        f"to POST {url}/admin/v1/invitations/signup.\n"
        "If you do not know them, do nothing.\n",
    )


def _changed(url: str, token: str, fields: Mapping[str, Any]) -> Text:  # noqa: ARG001  # as above
    return Text(
        "Your password was changed",
        f"The password of your account at {url} was changed, and every other session was ended.\n\n"
        f"If it was not you, ask for a new password at {url}/reset at once.\n",
    )


def _disabled(url: str, token: str, fields: Mapping[str, Any]) -> Text:  # noqa: ARG001  # as above
    return Text(
        f"Webhooks to {fields['host']} are disabled",
        f"Every webhook of your organization to {fields['host']} failed for five days, so none is sent there any more.\n\n"
        f"Once it answers again, POST {url}/admin/v1/organizations/{fields['organization']}/webhooks/enable with\n"
        f'{{"name": "{fields["host"]}"}}\n'
        "and have what is missing delivered once more at .../webhooks/redeliver.\n",
    )


TEXTS: dict[str, Callable[[str, str, Mapping[str, Any]], Text]] = {
    "verify": _verify,
    "reset": _reset,
    "exists": _exists,
    "invitation": _invitation,
    "changed": _changed,
    "disabled": _disabled,
}

_SECONDS: dict[Purpose, int] = {"verify": VERIFY_SECONDS, "reset": RESET_SECONDS}


class Letters:
    """Puts mails into the outbox, and writes them when they are sent."""

    def __init__(
        self,
        db: Database,
        *,
        url: str,
        clock: Clock,
        new_id: NewId,
        random: RandomBytes = random_bytes,
    ) -> None:
        """`url` is where people reach this server; every link begins with it."""
        self._db = db
        self._url = url.rstrip("/")
        self._clock = clock
        self._new_id = new_id
        self._random = random

    def blank(self) -> bytes:
        """The digest of a token that nobody was told."""
        return digest_of(new_token(self._random))

    def send_link(self, conn: Connection, user_id: str, *, email: str, letter: str, purpose: Purpose) -> bool:
        """Puts a mail with a link into the outbox; False, and nothing done, beyond three in an hour."""
        now = self._clock.now()
        if not self.free(conn, user_id, purpose=purpose):
            return False
        digest = self.blank()
        accounts.insert_link(
            conn,
            user_id,
            purpose=purpose,
            digest=digest,
            at=micros(now),
            expires=micros(now + _SECONDS[purpose]),
        )
        self.send(conn, None, email=email, payload={"letter": letter, "link": digest.hex()})
        return True

    def free(self, conn: Connection, user_id: str, *, purpose: Purpose) -> bool:
        """Whether another link of this purpose may be mailed now."""
        since = micros(self._clock.now() - HOUR)
        return accounts.recent_links(conn, user_id, purpose=purpose, since=since) < MAILS_AN_HOUR

    def send(self, conn: Connection, org_id: str | None, *, email: str, payload: Mapping[str, Any]) -> None:
        """Puts a mail into the outbox; `payload` names the letter and what its text needs."""
        outbox.post(
            conn,
            org_id,
            post_id=self._new_id("mail"),
            kind=KIND,
            address=email,
            payload=payload,
            at=micros(self._clock.now()),
        )

    def tell_of_disabled(self, conn: Connection, org_id: str, host: str) -> None:
        """Puts a mail to each owner of an organization into the outbox: a host of theirs is called no more."""
        payload = {"letter": "disabled", "organization": org_id, "host": host}
        for each in members.list_members(conn, org_id):
            if each.role == "owner":
                self.send(conn, None, email=each.email, payload=payload)

    async def write(self, row: OutboxRow, owner: str) -> Text | None:
        """The text of a leased mail, with a fresh token; None where what it is about is over."""
        token = ""
        if "link" in row.payload:
            token = new_token(self._random)
            minted = await self._db.write(
                partial(_mint, row=row, owner=owner, new=digest_of(token), now=micros(self._clock.now()))
            )
            if not minted:
                return None
        return TEXTS[row.payload["letter"]](self._url, token, row.payload)


def _mint(conn: Connection, row: OutboxRow, owner: str, new: bytes, now: int) -> bool:
    old = bytes.fromhex(row.payload["link"])
    if not outbox.amend(conn, row.id, owner=owner, payload={**row.payload, "link": new.hex()}):
        return False
    if row.org_id is not None:
        return members.remint_invitation(conn, row.org_id, digest=old, new=new, now=now)
    return accounts.remint_link(conn, old, new=new, now=now)
