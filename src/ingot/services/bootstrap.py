"""The key that automation sets: `INGOT_BOOTSTRAP_KEY`, which values it may have and what a new value replaces.

    value is in force already         nothing to do
    another bootstrap key is          it gets the new secret under its old id: the old value is unknown
    an issued key has this value      it stays what it is, and the old bootstrap key is revoked
    the value was revoked             refused: a leaked key must not come back with the next start

A variable that is no longer set changes nothing: `ingot keys revoke bootstrap` ends the key.
"""

from dataclasses import replace
from hmac import compare_digest

from sqlalchemy import Connection

from ingot.errors import Conflict, InvalidRequest
from ingot.signing import Mistyped, own_kid
from ingot.store import keys as store
from ingot.store.keys import KeyRow
from ingot.store.schema import moment

BOOTSTRAP_NAME = "bootstrap"
VARIABLE = "INGOT_BOOTSTRAP_KEY"
LENGTH = 16


def bootstrap_token(value: str) -> bytes:
    """The bytes that requests will carry; raises InvalidRequest for a value that no header can, or that is cut."""
    if len(value) < LENGTH or not all("!" <= character <= "~" for character in value):
        raise InvalidRequest(
            f"{VARIABLE} needs {LENGTH} or more visible ASCII characters, without spaces.", param=VARIABLE
        )
    try:
        own_kid(value.encode())
    except Mistyped as error:
        raise InvalidRequest(
            f"{VARIABLE} has the form of an Ingot key, but its checksum does not match: copy it as a whole, or "
            f"choose any other string.",
            param=VARIABLE,
        ) from error
    return value.encode()


def place_bootstrap(conn: Connection, row: KeyRow) -> bool:
    """Puts the bootstrap key in force in place of the one before; whether it is a new one.

    Raises Conflict for one that was revoked.
    """
    current = store.live_bootstrap(conn)
    same = store.key_by_kid(conn, row.kid)
    if same is None and current is None:
        store.insert_key(conn, row)
    elif same is None and current is not None:
        store.replace_key(conn, replace(row, id=current.id))
    elif same is not None:
        if same.revoked_at is not None:
            raise Conflict(
                f"{VARIABLE} holds a key that was revoked on {moment(same.revoked_at)}: choose a new value."
            )
        if not compare_digest(same.digest, row.digest):
            raise Conflict(f"{VARIABLE} has the kid of another key: choose a new value.")
        if current is not None and current.id != same.id:
            store.revoke_key(conn, current.org_id, key_id=current.id, at=row.created_at)
    return same is None
