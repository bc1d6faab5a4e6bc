"""Sealed texts: opened by who has the key, in the place that they belong to, and never after a change."""

import hashlib
import hmac
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.sealing import NONCE, TAG, VERSION, Broken, seal, unseal

KEY = bytes(range(32))
PLACE = b"org_1\nkey_1\nname"


def sealed(text: bytes, *, key: bytes = KEY, bound: bytes = PLACE) -> bytes:
    """A text under a fresh nonce."""
    return seal(text, key, bound=bound, random=os.urandom)


@given(st.binary(max_size=300), st.binary(min_size=32, max_size=32), st.binary(max_size=40))
def test_text_comes_back_when_key_and_place_are_right(text: bytes, key: bytes, bound: bytes) -> None:
    """Any bytes of any length, none included; what is stored is longer by a fixed amount."""
    stored = seal(text, key, bound=bound, random=os.urandom)
    assert unseal(stored, key, bound=bound) == text
    assert len(stored) == len(VERSION) + NONCE + len(text) + TAG


@given(st.binary(min_size=1, max_size=80), st.data())
def test_text_does_not_open_when_a_bit_was_changed(text: bytes, data: st.DataObject) -> None:
    """Version, nonce, text and tag are all under the tag."""
    stored = sealed(text)
    at = data.draw(st.integers(0, 8 * len(stored) - 1))
    changed = bytearray(stored)
    changed[at // 8] ^= 1 << at % 8
    with pytest.raises(Broken):
        unseal(bytes(changed), KEY, bound=PLACE)


@pytest.mark.parametrize("length", [0, 1, 16, 17, 48, 49])
def test_text_does_not_open_when_it_was_cut(length: int) -> None:
    """However much is left of it."""
    with pytest.raises(Broken):
        unseal(sealed(b"x" * 40)[:length], KEY, bound=PLACE)


def test_text_does_not_open_when_key_or_place_is_another() -> None:
    """A row copied to somewhere else opens no more than one under another idempotency key."""
    stored = sealed(b"ik_live_secret")
    for key, bound in ((bytes(32), PLACE), (KEY, b"org_2\nkey_1\nname"), (KEY, b"")):
        with pytest.raises(Broken):
            unseal(stored, key, bound=bound)


def test_text_looks_different_when_sealed_twice() -> None:
    """Each has its own nonce, and nothing of the text shows."""
    one, other = sealed(b"the same text" * 9), sealed(b"the same text" * 9)
    assert one[1 + NONCE :] != other[1 + NONCE :]
    assert b"the same" not in one + other


def test_form_is_the_one_described_when_reckoned_by_hand() -> None:
    """Counter mode and tag from HMAC-SHA256, so that what is stored today opens with any later release."""
    nonce, text = bytes(NONCE), bytes(range(50))
    first, second = (
        hmac.new(
            hmac.new(KEY, b"encrypt", hashlib.sha256).digest(), nonce + n.to_bytes(8, "big"), hashlib.sha256
        )
        for n in (0, 1)
    )
    stream = first.digest() + second.digest()
    body = b"\x01" + nonce + bytes(a ^ b for a, b in zip(text, stream, strict=False))
    mac = hmac.new(KEY, b"authenticate", hashlib.sha256).digest()
    tag = hmac.new(mac, hashlib.sha256(PLACE).digest() + body, hashlib.sha256).digest()
    assert seal(text, KEY, bound=PLACE, random=bytes) == body + tag
