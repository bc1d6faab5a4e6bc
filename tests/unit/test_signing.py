"""Keys: their form, their checksum, and the digest that stands for them."""

import hmac
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot import ids
from ingot.signing import KID_LENGTH, Mistyped, NewKey, Signer, checksum, lookup_kid, make_key, own_kid

_PREFIXES = st.from_regex(r"[a-z][a-z0-9]{0,8}(_[a-z0-9]{1,6}){0,2}", fullmatch=True)


def _key(seed: int, prefix: str = "ik") -> NewKey:
    source = random.Random(seed)  # noqa: S311  (a repeatable test, no secret)
    return make_key(prefix, random_text=lambda n: "".join(source.choices(ids.ALPHABET, k=n)))


@given(st.integers(), _PREFIXES)
def test_kid_is_read_back_when_key_is_whole(seed: int, prefix: str) -> None:
    """Whatever the prefix, a key that was made is recognised, and its kid with it."""
    key = _key(seed, prefix)
    assert own_kid(key.text.encode()) == key.kid
    assert lookup_kid(key.text.encode(), b"\0" * 32) == key.kid


@given(st.integers(), st.data())
def test_kid_is_refused_when_one_character_changed(seed: int, data: st.DataObject) -> None:
    """One wrong character is never looked up: the checksum or the form catches it."""
    text = _key(seed).text
    place = data.draw(st.integers(0, len(text) - 1))
    wrong = data.draw(
        st.sampled_from(ids.ALPHABET + "-_ ").filter(lambda character: character != text[place])
    )
    changed = f"{text[:place]}{wrong}{text[place + 1 :]}".encode()
    try:
        assert own_kid(changed) is None
    except Mistyped:
        return


@given(st.integers(), st.data())
def test_kid_is_refused_when_neighbours_are_swapped(seed: int, data: st.DataObject) -> None:
    """Two characters the wrong way round in the random part are caught."""
    text = _key(seed).text
    place = data.draw(st.integers(text.index("live_") + 5, len(text) - 2))
    changed = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    if changed == text:
        return
    try:
        assert own_kid(changed.encode()) is None
    except Mistyped:
        return


@given(st.binary(max_size=120))
def test_foreign_token_gets_a_kid_when_it_is_no_key(token: bytes) -> None:
    """Any other string is looked up by a kid taken from its digest, of the same form as our own."""
    kid = lookup_kid(token, Signer(b"p" * 32, version=1).digest(token))
    assert len(kid) == KID_LENGTH
    assert set(kid) <= set(ids.ALPHABET)


@given(st.binary(min_size=16, max_size=64), st.binary(max_size=300))
def test_digest_is_hmac_sha256_when_computed_in_halves(secret: bytes, token: bytes) -> None:
    """The fast way yields what the library's HMAC yields, call after call."""
    signer = Signer(secret, version=1)
    expected = hmac.digest(secret, token, "sha256")
    assert signer.digest(token) == expected
    assert signer.digest(token) == expected


def test_fingerprint_differs_when_pepper_differs() -> None:
    """Two peppers can be told apart without being told."""
    assert Signer(b"a" * 32, version=1).fingerprint() != Signer(b"b" * 32, version=1).fingerprint()


def test_form_is_stable_when_random_text_is_fixed() -> None:
    """The format is a promise to secret scanners: it does not change."""
    key = make_key("mk", random_text=lambda n: "a" * n, mode="test")
    assert key.text == f"mk_test_aaaaaaaaaa_{'a' * 32}_{checksum(b'mk_test_aaaaaaaaaa_' + b'a' * 32)}"
    assert key.kid == "aaaaaaaaaa"
    assert "aaaaaaaaaaa" not in repr(key)


@pytest.mark.parametrize("prefix", ["", "IK", "i-k", "_ik", "ik_", "i__k", "1k"])
def test_prefix_is_refused_when_not_plain(prefix: str) -> None:
    """A prefix must survive a double click and a shell."""
    with pytest.raises(ValueError, match="prefix"):
        make_key(prefix, random_text=ids.random_text)


def test_mode_is_refused_when_unknown() -> None:
    """Keys are for live or test use."""
    with pytest.raises(ValueError, match="live"):
        make_key("ik", random_text=ids.random_text, mode="prod")


@pytest.mark.parametrize("size", [0, 15, 65])
def test_pepper_is_refused_when_of_wrong_size(size: int) -> None:
    """Too short is guessable, too long would need another construction."""
    with pytest.raises(ValueError, match="pepper"):
        Signer(b"x" * size, version=1)
