"""The key of a retry, the fingerprint of a request, and the table that says who does the work."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot import idempotency
from ingot.errors import InvalidRequest
from ingot.idempotency import Standing, Verdict, canonical, decide, fingerprint, read_key
from ingot.rawjson import parse
from ingot.signing import Signer

SIGNER = Signer(bytes(32), version=1)


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (b"abc", "abc"),
        (b'"abc"', "abc"),
        (b"  abc\t", "abc"),
        (b'a"b', 'a"b'),
        (rb'"a\"b\\c"', r'a"b\c'),
        (b"!~", "!~"),
        (b"x" * 255, "x" * 255),
        (b'"' + b"x" * 255 + b'"', "x" * 255),
    ],
)
def test_s3_02_key_is_read_when_bare_or_quoted(header: bytes, key: str) -> None:
    """1 to 255 visible ASCII characters, the quotes not counted."""
    assert read_key([header]) == key
    assert read_key([], [header]) == key
    assert read_key([header], [header]) == key


@pytest.mark.parametrize(
    "header",
    [b"", b"  ", b'""', b'"', b'"abc', b'"a"b"', rb'"a\b"', rb'"a\"', b"a b", b"a\tb", b"\x00", b"\x7f", "é".encode(),
     b"x" * 256, b'"' + b"x" * 256 + b'"'],
)  # fmt: skip
def test_s3_02_key_is_refused_by_name_when_it_is_none(header: bytes) -> None:
    """The error names the header that the client has to mend, and what would be right."""
    for name, pair in ((idempotency.HEADER, ([header], [])), (idempotency.ANTHROPIC_HEADER, ([], [header]))):
        with pytest.raises(InvalidRequest) as caught:
            read_key(*pair)
        assert (caught.value.status, caught.value.param) == (400, name)
        assert name in caught.value.message


def test_key_is_none_when_no_header_came() -> None:
    """Most requests have none."""
    assert read_key([]) is None


def test_key_is_refused_when_two_headers_differ() -> None:
    """Nobody could tell which one counts, whether they have one name or two; the same key twice is one key."""
    with pytest.raises(InvalidRequest, match="differ"):
        read_key([b"a"], [b"b"])
    for name, pair in (
        ("Idempotency-Key", ([b"a", b"b"], ())),
        ("Anthropic-Idempotency-Key", ((), [b"a", b"b"])),
    ):
        with pytest.raises(InvalidRequest, match=f"'{name}' came 2 times") as caught:
            read_key(*pair)
        assert caught.value.param == name
    assert read_key([b"a"], [b'"a"']) == "a"
    assert read_key([b"a", b'"a"', b"a"]) == "a"


def same(one: bytes, other: bytes) -> bool:
    """Whether two bodies have one fingerprint."""
    prints = {
        fingerprint(parse(body).value, method="POST", path="/v1/chat/completions", digest=SIGNER.digest)
        for body in (one, other)
    }
    return len(prints) == 1


BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]'


@pytest.mark.parametrize(
    "other",
    [
        b'{ "messages": [ {"content": "\\u0068i", "role": "user"} ],\n "model": "m" }',
        BODY + b',"stream":false}',
        BODY + b',"stream":null,"n":1,"logprobs":false,"logit_bias":{}}',
        BODY + b',"n":1.0,"frequency_penalty":0.0,"presence_penalty":0}',
    ],
)
def test_i03_requests_are_the_same_when_they_ask_for_the_same(other: bytes) -> None:
    """Order, white space, escapes, and fields left out or set to their default do not matter."""
    assert same(BODY + b"}", other)


@pytest.mark.parametrize(
    "more",
    [b',"stream":true}', b',"n":2}', b',"temperature":1}', b',"seed":null}', b',"logprobs":0}', b',"n":true}',
     b',"parallel_tool_calls":false}', b',"user":"u"}', b',"top_p":0.5}'],
)  # fmt: skip
def test_i03_requests_differ_when_they_ask_for_something_else(more: bytes) -> None:
    """`stream` counts; so do fields whose default is the model's own, and values that only look like a default."""
    assert not same(BODY + b"}", BODY + more)


def test_i03_requests_are_the_same_when_a_number_is_spelled_otherwise() -> None:
    """1.0 is 1; a number beyond what a double counts exactly stays as it is."""
    assert same(BODY + b',"temperature":1}', BODY + b',"temperature":1.0}')
    assert canonical({"x": 1e300}) == b'{"x":1e300}'


def test_i03_fingerprint_depends_on_path_method_and_pepper() -> None:
    """Who holds the database alone cannot try prompts against it."""
    body = {"model": "m"}
    one = fingerprint(body, method="POST", path="/a", digest=SIGNER.digest)
    others = {
        fingerprint(body, method="POST", path="/b", digest=SIGNER.digest),
        fingerprint(body, method="PUT", path="/a", digest=SIGNER.digest),
        fingerprint(body, method="POST", path="/a", digest=Signer(bytes(31) + b"x", version=2).digest),
        SIGNER.digest(b"POST /a\n" + canonical(body)),
    }
    assert len(one) == 32
    assert len({one, *others}) == 5


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), values, max_size=5), st.randoms(use_true_random=False))
def test_canonical_is_one_when_keys_are_shuffled(body: dict[str, Any], random: Any) -> None:
    """At every depth, the order of keys is not part of a request."""

    def shuffled(value: Any) -> Any:
        if isinstance(value, list):
            return [shuffled(each) for each in value]
        if isinstance(value, dict):
            names = list(value)
            random.shuffle(names)
            return {name: shuffled(value[name]) for name in names}
        return value

    assert canonical(shuffled(body)) == canonical(body)


MINE, OTHER = b"mine", b"other"


@pytest.mark.parametrize(
    ("standing", "verdict"),
    [
        (None, Verdict.LEAD),
        (Standing("done", MINE, lease_until=0, expires_at=11), Verdict.REPLAY),
        (Standing("done", MINE, lease_until=99, expires_at=10), Verdict.LEAD),
        (Standing("done", OTHER, lease_until=0, expires_at=11), Verdict.MISMATCH),
        (Standing("done", OTHER, lease_until=0, expires_at=10), Verdict.LEAD),
        (Standing("released", MINE, lease_until=99, expires_at=11), Verdict.LEAD),
        (Standing("released", OTHER, lease_until=0, expires_at=11), Verdict.MISMATCH),
        (Standing("running", MINE, lease_until=21, expires_at=11), Verdict.JOIN),
        (Standing("running", MINE, lease_until=20, expires_at=11), Verdict.TAKE_OVER),
        (Standing("running", OTHER, lease_until=21, expires_at=11), Verdict.MISMATCH),
        (Standing("running", OTHER, lease_until=20, expires_at=11), Verdict.MISMATCH),
        (Standing("running", OTHER, lease_until=20, expires_at=10), Verdict.LEAD),
    ],
)
def test_decide(standing: Standing | None, verdict: Verdict) -> None:
    """At 10 by the own clock and 20 by the shared one; what has expired is as good as nothing."""
    assert decide(standing, MINE, own=10, shared=20) is verdict
