"""What an upstream's refusal means to our client: a table by status, then by the upstream's own code.

Upstream text reaches a client only where the client can mend its request (400, 413, 422 and the like), and only
after hosts, addresses, paths and keys were taken out. Our own credential's trouble is never told as the client's.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from ingot.errors import (
    ApiError,
    RateLimited,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)

RETRYABLE = frozenset({408, 409, 429})
SERVER_FAULTS = range(500, 600)
ACCOUNT = frozenset({401, 402, 403, 407})
"""The operator's to mend: key, account, proxy."""
ADDRESS = frozenset({404, 405, 410})
"""The operator's to mend as well: the address or the model's name. Redirects are no answer either."""

# Codes that mean the same under different names; what is absent passes through.
_CODES = {"exceed_context_size_error": "context_length_exceeded"}
# What some say in words alone.
_TOO_LONG = "prompt is too long"
_UNPAID = "Your credit balance is too low"

# What common refusals are about and what to do, by code and by message text; the first that fits is added.
_ADVICE = (
    (
        re.compile(r"context_length_exceeded|context (size|length|window)|prompt is too long"),
        "messages",
        "Shorten the prompt, or choose a model with a longer context.",
    ),
    (
        re.compile(r"JSON schema|json_schema|grammar", re.IGNORECASE),
        "response_format.json_schema.schema",
        "Use the JSON Schema keywords that the model's engine knows, and mend the schema.",
    ),
)

_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s\"'<>]+", re.IGNORECASE)
_ADDRESS = re.compile(
    r"\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b|\[[0-9a-f]*:[0-9a-f:]+\](?::\d+)?|\b0x[0-9a-f]{6,}\b",
    re.IGNORECASE,
)
_PATH = re.compile(r"(?<![\w/.])/(?:[\w.-]+/)+[\w.-]*")
_KEY = re.compile(r"\b(?:sk|pk|ik|mk|gsk|hf|xai)[-_][\w*-]{6,}", re.IGNORECASE)
_BEARER = re.compile(r"\bbearer\s+\S+", re.IGNORECASE)
# A name with a port, or below a suffix that only private networks use: an address for us, nothing for a client.
# A name alone must hold a digit or a dot, lest `max_tokens:4096` be one.
_PRIVATE = "internal|local|lan|corp|intranet|home|svc|cluster"
_HOST = re.compile(
    r"\b(?=[a-z])(?:localhost|[a-z0-9-]*\d[a-z0-9-]*|(?:[a-z0-9-]+\.)+[a-z0-9-]+):\d{2,5}\b"
    rf"|\b(?:[a-z0-9-]+\.)+(?:{_PRIVATE})\b(?:\.[a-z0-9-]+)*",
    re.IGNORECASE,
)
_CLEANINGS = (
    (_URL, "[address]"),
    (_BEARER, "[key]"),
    (_KEY, "[key]"),
    (_ADDRESS, "[address]"),
    (_HOST, "[address]"),
    (_PATH, "[path]"),
)
_LONGEST = 2000
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,63}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An upstream's error object, as far as it could be read."""

    message: str
    code: str | None = None
    kind: str | None = None
    param: str | None = None
    translated: str | None = None
    """The dialect in which the target was asked, where it is not the client's."""

    @classmethod
    def unreadable(cls, status: int) -> "Refusal":
        """A refusal without an error object: HTML, or nothing."""
        return cls(
            f"The target refused the request (status {status}) without saying why; its operator's log may tell."
        )

    def of_translated(self, dialect: str) -> "Refusal":
        """The refusal of a request that was translated into `dialect`: the place that it names is none of the client's."""
        return replace(self, param=None, translated=dialect)

    @property
    def is_of_account(self) -> bool:
        """Whether the operator's account is the matter, whatever the status says."""
        return self.code == "insufficient_quota" or self.message.startswith(_UNPAID)

    def is_retryable(self, status: int) -> bool:
        """Whether another try, here or elsewhere, may succeed."""
        if self.is_of_account:
            return False
        return status in RETRYABLE or status in SERVER_FAULTS

    def as_error(
        self, status: int, *, target: str, deployment_model: str, retry_after: float | None
    ) -> ApiError:
        """The error that our client gets."""
        shown = f"status {status}" + (f", code {self.code}" if _is_code(self.code) else "")
        if status in ACCOUNT or self.is_of_account:
            return UpstreamError(
                f"The target '{target}' refused this server's credential (status {status}); "
                "its operator has to mend the key or the account.",
                code="upstream_credential_refused",
            )
        if status in ADDRESS or status < 400:
            return UpstreamError(
                f"The target '{target}' does not know the model '{deployment_model}' or this endpoint "
                f"(status {status}).",
                code="upstream_not_found",
            )
        if status == 429:
            return RateLimited(
                f"The target '{target}' is rate limited ({shown}).", retry_after=retry_after or 1.0
            )
        if status in (408, 504):
            return UpstreamTimeout(f"The target '{target}' timed out ({shown}).", retry_after=retry_after)
        if status in (503, 529):
            return UpstreamUnavailable(
                f"The target '{target}' is unavailable ({shown}).", retry_after=retry_after or 1.0
            )
        if status in SERVER_FAULTS or status == 409:
            return UpstreamError(
                f"The target '{target}' failed ({shown}). Try again; if it stays so, its operator has to look.",
                retry_after=retry_after,
            )
        return self._as_rejection(status)

    def _as_rejection(self, status: int) -> UpstreamRejected:
        """What the client itself can mend, with the field that it is about where the upstream's words tell."""
        code = _CODES.get(self.kind or "", self.code)
        message = clean(self.message)
        if _TOO_LONG in message:
            code = code or "context_length_exceeded"
        if self.translated is not None:
            message = f"The target, which was asked in the {self.translated} dialect, says: {message}"
        param = clean(self.param) if self.param else None
        for words, told_param, advice in _ADVICE:
            if words.search(f"{code} {message}"):
                param = param or told_param
                message = f"{message.rstrip('.')}. {advice}"
                break
        return UpstreamRejected(message, status=status, code=code if _is_code(code) else None, param=param)


def _is_code(code: str | None) -> bool:
    """Whether this is a name and no sentence: only such a code is shown."""
    return code is not None and _CODE.fullmatch(code) is not None and clean(code) == code


def read_refusal(body: bytes) -> Refusal | None:
    """The error object of a body in any of the usual shapes, OpenAI's and Anthropic's among them; None when there is none."""
    try:
        value: Any = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    error = value.get("error")
    if error is None and "detail" in value:
        return _read_detail(value["detail"])
    if error is None and isinstance(value.get("message"), str):
        error = value
    if isinstance(error, str):
        return Refusal(error)
    if not isinstance(error, dict):
        return None
    return Refusal(
        message=_text(error.get("message")) or "no message given",
        code=_text(error.get("code")) or _code_inside(error.get("details")),
        kind=_text(error.get("type")),
        param=_text(error.get("param")),
    )


def _code_inside(details: Any) -> str | None:
    """Anthropic's stable code."""
    return _text(details.get("error_code")) if isinstance(details, dict) else None


def _read_detail(detail: Any) -> Refusal | None:
    """The shape of FastAPI's servers: a text, or a list of `{loc, msg}` of which the first is told."""
    if isinstance(detail, str):
        return Refusal(detail)
    first = detail[0] if isinstance(detail, list) and detail else None
    if not isinstance(first, dict) or not isinstance(first.get("msg"), str):
        return None
    loc = first.get("loc")
    # `loc` begins with where it looked: body, query, path.
    param = ".".join(str(step) for step in loc[1:]) if isinstance(loc, list) else None
    return Refusal(first["msg"], param=param or None)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def clean(text: str) -> str:
    """`text` without addresses, hosts in URLs, file paths and keys, and not longer than a client needs."""
    for pattern, name in _CLEANINGS:
        text = pattern.sub(name, text)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
