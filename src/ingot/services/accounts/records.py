"""The records that the accounts' services share: who asks, what a token is, what may be told of people.

Tokens are 32 random bytes in hexadecimal; only their SHA-256 is stored. Decides no right.
"""

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ingot.errors import InvalidRequest
from ingot.store.accounts import UserRow

RandomBytes = Callable[[int], bytes]

TOKEN_BYTES = 32
LONGEST_EMAIL = 254
LONGEST_NAME = 100

# Enough to tell an address from a slip of the hand; whether it exists is what the mail to it shows.
_EMAIL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")

random_bytes: RandomBytes = os.urandom


def new_token(source: RandomBytes) -> str:
    """A fresh token: 256 bits in hexadecimal."""
    return source(TOKEN_BYTES).hex()


def digest_of(token: str) -> bytes:
    """What is stored of a token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def read_email(text: str) -> str:
    """A mail address in the form in which it is stored; raises InvalidRequest for what is none."""
    email = text.strip().lower()
    if len(email) > LONGEST_EMAIL or not _EMAIL.fullmatch(email) or ".." in email:
        raise InvalidRequest("This is no mail address; one looks like ada@example.org.", param="email")
    return email


def read_name(text: str) -> str:
    """An organization's name; raises InvalidRequest."""
    name = text.strip()
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise InvalidRequest(
            f"An organization's name has 1 to {LONGEST_NAME} printable characters.", param="name"
        )
    return name


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls the admin API: a person with a session, or an admin key.

    `actor` is what the audit log shows: the user's or the key's id. A key has an organization and perhaps a person, a
    person has a session.
    """

    kind: Literal["person", "key"]
    actor: str
    operator: bool
    user: UserRow | None = None
    session: bytes | None = field(default=None, repr=False)
    key_org: str | None = None
    key_person: str | None = None

    @property
    def person(self) -> str | None:
        """The id of who calls, or of whose key does; None for a key of nobody in particular."""
        return self.key_person if self.user is None else self.user.id

    @property
    def verified(self) -> bool:
        """Whether this may act for an organization: the mail address of a person is theirs."""
        return self.user is None or self.user.verified_at is not None
