"""The header lines that tell a client where it stands: bytes, each line with its end, made from a Standing.

    every_line       all of the following, in one piece
    openai_lines     x-ratelimit-limit-requests: 60 ...       resets as `120ms`, `1s`, `6m0s`
    anthropic_lines  anthropic-ratelimit-requests-limit: 60 ...        resets as RFC 3339
    ietf_lines       RateLimit-Policy and RateLimit, as draft-ietf-httpapi-ratelimit-headers-11 has them
    retry_lines      Retry-After in whole seconds, and retry-after-ms

Remaining is what would pass at once, so that no client that counts on it meets a refusal; resets are rounded
up. A partition without a limit has no lines. Nothing here is negative: the figures are not. Pure.
"""

from datetime import UTC, datetime
from functools import lru_cache

from ingot.limits.gcra import SECOND
from ingot.limits.limiter import Standing

LONGEST_RETRY = 120
"""Seconds; the official clients wait as told up to here, and as they like beyond."""

_MILLI = 1000


_EVERY = (
    b"x-ratelimit-limit-requests: %d\r\nx-ratelimit-remaining-requests: %d\r\n"
    b"x-ratelimit-reset-requests: %b\r\n"
    b"x-ratelimit-limit-tokens: %d\r\nx-ratelimit-remaining-tokens: %d\r\n"
    b"x-ratelimit-reset-tokens: %b\r\n"
    b"anthropic-ratelimit-requests-limit: %d\r\nanthropic-ratelimit-requests-remaining: %d\r\n"
    b"anthropic-ratelimit-requests-reset: %b\r\n"
    b"anthropic-ratelimit-tokens-limit: %d\r\nanthropic-ratelimit-tokens-remaining: %d\r\n"
    b"anthropic-ratelimit-tokens-reset: %b\r\n"
    b'%bratelimit: "requests";r=%d;t=%d, "tokens";r=%d;t=%d\r\n'
)


def every_line(standing: Standing, now: float, wait: int | None = None) -> bytes:
    """All families, in the order of the functions below; `now` is the wall time in seconds."""
    requests, tokens = standing.request_limit, standing.token_limit
    if requests is None or tokens is None or wait is not None:
        return openai_lines(standing) + anthropic_lines(standing, now) + ietf_lines(standing, wait)
    asked, left = standing.request_remaining, standing.token_remaining
    request_reset, token_reset = standing.request_reset, standing.token_reset
    at = int(now * SECOND)
    return _EVERY % (
        requests, asked, duration(request_reset),
        tokens, left, duration(token_reset),
        requests, asked, _instant(at + request_reset),
        tokens, left, _instant(at + token_reset),
        _policy(requests, tokens),
        asked, -(-request_reset // SECOND), left, -(-token_reset // SECOND),
    )  # fmt: skip


def openai_lines(standing: Standing) -> bytes:
    """The x-ratelimit family (measured: 0.5 us)."""
    lines = b""
    if standing.request_limit is not None:
        lines = (
            b"x-ratelimit-limit-requests: %d\r\nx-ratelimit-remaining-requests: %d\r\n"
            b"x-ratelimit-reset-requests: %b\r\n"
        ) % (standing.request_limit, standing.request_remaining, duration(standing.request_reset))
    if standing.token_limit is not None:
        lines += (
            b"x-ratelimit-limit-tokens: %d\r\nx-ratelimit-remaining-tokens: %d\r\n"
            b"x-ratelimit-reset-tokens: %b\r\n"
        ) % (standing.token_limit, standing.token_remaining, duration(standing.token_reset))
    return lines


def anthropic_lines(standing: Standing, now: float) -> bytes:
    """The anthropic-ratelimit family; `now` is the wall time in seconds."""
    lines = b""
    at = int(now * SECOND)
    if standing.request_limit is not None:
        lines = (
            b"anthropic-ratelimit-requests-limit: %d\r\nanthropic-ratelimit-requests-remaining: %d\r\n"
            b"anthropic-ratelimit-requests-reset: %b\r\n"
        ) % (standing.request_limit, standing.request_remaining, _instant(at + standing.request_reset))
    if standing.token_limit is not None:
        lines += (
            b"anthropic-ratelimit-tokens-limit: %d\r\nanthropic-ratelimit-tokens-remaining: %d\r\n"
            b"anthropic-ratelimit-tokens-reset: %b\r\n"
        ) % (standing.token_limit, standing.token_remaining, _instant(at + standing.token_reset))
    return lines


def ietf_lines(standing: Standing, wait: int | None = None) -> bytes:
    """RateLimit-Policy and RateLimit; with the `wait` of a refusal no reset is later than its Retry-After."""
    requests, tokens = standing.request_limit, standing.token_limit
    if requests is None and tokens is None:
        return b""
    request_reset = -(-standing.request_reset // SECOND)
    token_reset = -(-standing.token_reset // SECOND)
    if wait is not None:
        retry = retry_seconds(wait)
        request_reset, token_reset = min(request_reset, retry), min(token_reset, retry)
    policy = _policy(requests, tokens)
    if tokens is None:
        return policy + b'ratelimit: "requests";r=%d;t=%d\r\n' % (standing.request_remaining, request_reset)
    if requests is None:
        return policy + b'ratelimit: "tokens";r=%d;t=%d\r\n' % (standing.token_remaining, token_reset)
    return policy + b'ratelimit: "requests";r=%d;t=%d, "tokens";r=%d;t=%d\r\n' % (
        standing.request_remaining,
        request_reset,
        standing.token_remaining,
        token_reset,
    )


def retry_lines(wait: int) -> bytes:
    """Retry-After for a refusal's `wait`, never 0 and at most LONGEST_RETRY."""
    millis = min(max(-(-wait // _MILLI), 1), LONGEST_RETRY * _MILLI)
    return b"retry-after: %d\r\nretry-after-ms: %d\r\n" % (retry_seconds(wait), millis)


def retry_seconds(wait: int) -> int:
    """Whole seconds after which to come back."""
    return min(max(-(-wait // SECOND), 1), LONGEST_RETRY)


def duration(micros: int) -> bytes:
    """`0s`, `120ms`, `1s`, `6m0s`, `1h0m0s`; rounded up to milliseconds below a second, else to seconds."""
    if micros <= SECOND - _MILLI:
        return _millis(-(-micros // _MILLI))
    return _seconds(-(-micros // SECOND))


@lru_cache(1000)
def _millis(millis: int) -> bytes:
    return b"%dms" % millis if millis > 0 else b"0s"


@lru_cache(4096)
def _seconds(seconds: int) -> bytes:
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return b"%dh%dm%ds" % (hours, minute, second)
    return b"%dm%ds" % (minute, second) if minutes else b"%ds" % second


@lru_cache(1024)
def _policy(requests: int | None, tokens: int | None) -> bytes:
    items = []
    if requests is not None:
        items.append(b'"requests";q=%d;w=60' % requests)
    if tokens is not None:
        items.append(b'"tokens";q=%d;w=60;qu="tokens"' % tokens)
    return b"ratelimit-policy: " + b", ".join(items) + b"\r\n"


def _instant(micros: int) -> bytes:
    return _rfc3339(-(-micros // SECOND))


@lru_cache(1024)
def _rfc3339(seconds: int) -> bytes:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
