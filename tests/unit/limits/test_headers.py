"""The lines that tell a client where it stands (L07)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.limits.gcra import CEILING
from ingot.limits.headers import anthropic_lines, duration, every_line, ietf_lines, openai_lines, retry_lines
from ingot.limits.limiter import Standing

BOTH = Standing(60, 9, 1_000_000, 100_000, 16_000, 240_001)
NONE = Standing(None, 0, 0, None, 0, 0)
LINE = re.compile(rb"[a-z-]+: [^\r\n]+\r\n")


def test_openai_lines_are_as_its_clients_know_them() -> None:
    """Limit, remaining and reset, of requests and of tokens."""
    assert openai_lines(BOTH) == (
        b"x-ratelimit-limit-requests: 60\r\n"
        b"x-ratelimit-remaining-requests: 9\r\n"
        b"x-ratelimit-reset-requests: 1s\r\n"
        b"x-ratelimit-limit-tokens: 100000\r\n"
        b"x-ratelimit-remaining-tokens: 16000\r\n"
        b"x-ratelimit-reset-tokens: 241ms\r\n"
    )


def test_anthropic_lines_are_as_its_clients_know_them() -> None:
    """The same, with instants, rounded up."""
    assert anthropic_lines(BOTH, 1_700_000_000.5) == (
        b"anthropic-ratelimit-requests-limit: 60\r\n"
        b"anthropic-ratelimit-requests-remaining: 9\r\n"
        b"anthropic-ratelimit-requests-reset: 2023-11-14T22:13:22Z\r\n"
        b"anthropic-ratelimit-tokens-limit: 100000\r\n"
        b"anthropic-ratelimit-tokens-remaining: 16000\r\n"
        b"anthropic-ratelimit-tokens-reset: 2023-11-14T22:13:21Z\r\n"
    )


def test_ietf_lines_are_structured_lists() -> None:
    """A policy and a service limit for each quota, in whole seconds."""
    assert ietf_lines(BOTH) == (
        b'ratelimit-policy: "requests";q=60;w=60, "tokens";q=100000;w=60;qu="tokens"\r\n'
        b'ratelimit: "requests";r=9;t=1, "tokens";r=16000;t=1\r\n'
    )


def test_ietf_resets_are_no_later_than_the_retry_when_refused() -> None:
    """Who obeys Retry-After is not held back by t."""
    told = Standing(60, 0, 9_000_000, None, 0, 0)
    assert ietf_lines(told, wait=1_000_001).endswith(b'ratelimit: "requests";r=0;t=2\r\n')


def test_what_has_no_limit_has_no_lines() -> None:
    """Neither a zero nor a made-up number."""
    assert openai_lines(NONE) == anthropic_lines(NONE, 0.0) == ietf_lines(NONE) == b""
    assert b"requests" not in openai_lines(Standing(None, 0, 0, 5, 1, 1))
    assert b'"tokens"' not in ietf_lines(Standing(5, 1, 1, None, 0, 0))
    assert b'"requests"' not in ietf_lines(Standing(None, 0, 0, 5, 1, 1))


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, b"0s"),
        (1, b"1ms"),
        (120_000, b"120ms"),
        (999_000, b"999ms"),
        (999_001, b"1s"),
        (1_000_001, b"2s"),
        (59_000_000, b"59s"),
        (360_000_000, b"6m0s"),
        (3_600_000_000, b"1h0m0s"),
    ],
)
def test_durations_read_as_their_clients_parse_them(micros: int, text: bytes) -> None:
    """Rounded up: nobody comes back too early."""
    assert duration(micros) == text


@pytest.mark.parametrize(
    ("wait", "seconds", "millis"),
    [(1, 1, 1), (1_000_000, 1, 1000), (1_000_001, 2, 1001), (10**9, 120, 120_000)],
)
def test_retry_after_is_a_whole_number_that_clients_obey(wait: int, seconds: int, millis: int) -> None:
    """At least 1, at most 120, rounded up; the milliseconds beside it."""
    assert retry_lines(wait) == b"retry-after: %d\r\nretry-after-ms: %d\r\n" % (seconds, millis)


COUNT = st.integers(0, 10**9)
LIMIT = st.one_of(st.none(), COUNT)
RESET = st.integers(0, CEILING)


@given(LIMIT, COUNT, RESET, LIMIT, COUNT, RESET)
def test_no_figure_is_negative_or_no_number(
    requests: int | None, left: int, reset: int, tokens: int | None, spare: int, later: int
) -> None:
    """L07: whole lines with plain digits, whatever the figures are."""
    told = Standing(requests, left, reset, tokens, spare, later)
    text = openai_lines(told) + anthropic_lines(told, 1_700_000_000.0) + ietf_lines(told)
    assert every_line(told, 1_700_000_000.0) == text
    assert LINE.sub(b"", text) == b""
    assert b"nan" not in text.lower()
    assert not re.search(rb"[:=] ?-", text)
