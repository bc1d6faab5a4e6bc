"""Sealed texts: what only who holds a key can read again, and nobody can change unseen.

    seal    version | nonce | text XOR keystream | tag          the tag is over all before it, and over `bound`
    unseal  the text, or Broken

Encrypt-then-MAC from HMAC-SHA256 alone, in counter mode: no dependency has a cipher, and what is sealed is a few
kilobytes. A key may seal any number of texts, as each has a nonce of its own. `bound` is what a sealed text belongs to:
in another place it does not open. Pure; knows no secret but the one it is given, and no store.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator

RandomBytes = Callable[[int], bytes]

NONCE = 16
TAG = 32
VERSION = b"\x01"

_BLOCK = 32


class Broken(ValueError):
    """What was to be opened was changed, belongs elsewhere, or was sealed under another key."""


def seal(text: bytes, key: bytes, *, bound: bytes, random: RandomBytes) -> bytes:
    """`text`, sealed under a key of 32 unpredictable bytes."""
    head = VERSION + random(NONCE)
    body = head + _mixed(text, key, nonce=head[1:])
    return body + _tag(body, key, bound=bound)


def unseal(sealed: bytes, key: bytes, *, bound: bytes) -> bytes:
    """The text again; raises Broken."""
    body, tag = sealed[:-TAG], sealed[-TAG:]
    if (
        len(body) <= NONCE
        or body[:1] != VERSION
        or not hmac.compare_digest(tag, _tag(body, key, bound=bound))
    ):
        raise Broken("A sealed text does not open: it was changed, or another key sealed it.")
    return _mixed(body[1 + NONCE :], key, nonce=body[1 : 1 + NONCE])


def _mixed(text: bytes, key: bytes, *, nonce: bytes) -> bytes:
    """`text` combined with the keystream, which is its own inverse."""
    stream = b"".join(
        _keystream(hmac.digest(key, b"encrypt", "sha256"), nonce, blocks=-(-len(text) // _BLOCK))
    )
    return bytes(one ^ other for one, other in zip(text, stream, strict=False))


def _keystream(key: bytes, nonce: bytes, *, blocks: int) -> Iterator[bytes]:
    for number in range(blocks):
        yield hmac.digest(key, nonce + number.to_bytes(8, "big"), "sha256")


def _tag(body: bytes, key: bytes, *, bound: bytes) -> bytes:
    # A digest of `bound` has one length: what belongs to it and what to the body cannot be shifted.
    return hmac.digest(
        hmac.digest(key, b"authenticate", "sha256"), hashlib.sha256(bound).digest() + body, "sha256"
    )
