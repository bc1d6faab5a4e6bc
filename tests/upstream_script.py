"""How the scripted upstream misbehaves: one frozen Step for each answer, and the bytes that a Step makes of events.

A Step comes from a test (`up.script(Step(fail=429, retry_after="2"))`), from the header `x-script`, or from a marker
in the prompt. Header and marker share one little language: names are the fields of Step with dashes, a flag stands
alone, any other name is followed by its value, `name=value` is the same.

    {{fail 429 retry-after=2}}    {{cut 3}}    {{eol crlf ping 2 gap 0.01}}    {{fail 503 times=1}}

It knows nothing of sockets or of what the answers say.
"""

import re
from typing import Literal

import msgspec

TEXT = re.compile(rb'("(?:content|text|delta)":")')
MARKER = re.compile(r"\{\{([a-z][^{}]*)\}\}")

Usage = Literal[
    "right", "wrong", "negative", "text", "null", "missing", "twice", "running", "with-finish",
    "counting",  # in every chunk, the tokens so far
    "early",  # in the first chunk alone, when there are none yet
    "zero",  # no output tokens
]  # fmt: skip


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """What goes wrong (or merely differs) in one answer. Indexes count data events; 0 is before the first one.

    For an answer without a stream, `cut`, `rst` and `hang` 0 act before the first body byte, and 1 or more in its
    middle; `drip` and `framing` work alike for both.
    """

    # Before the headers.
    delay: float = 0.0  # seconds of silence first
    silent: bool = False  # no byte of an answer, ever
    hangup: Literal["", "fin", "rst"] = ""  # the connection ends without an answer
    garbage: bool = False  # bytes that are no HTTP
    early_hints: bool = False  # a 103 before the answer

    # The status and its body.
    fail: int | None = None  # this status with an error body
    retry_after: str | None = None
    retry_after_ms: str | None = None
    message: str | None = None  # of the error object
    code: str | None = None  # of the error object
    body: Literal["json", "html", "empty", "malformed"] = "json"  # malformed works with a 200 too

    # Ends. Each happens when this many events were sent.
    cut: int | None = None  # close (FIN), the HTTP framing left open
    rst: int | None = None  # reset
    hang: int | None = None  # say nothing more, ever
    error_at: int | None = None  # an error object, then a clean HTTP end without [DONE]
    no_done: bool = False  # the whole answer, without [DONE]

    # Content.
    usage: Usage = "right"
    cached: int = 0  # prompt_tokens_details.cached_tokens, cache_read_input_tokens
    written: int = 0  # cache_creation_input_tokens
    finish: str | None = None  # this finish_reason
    bad_utf8: int | None = None  # the event with this index holds bytes that are not UTF-8
    bad_json: int | None = None  # the event with this index is cut in half
    separators: bool = False  # U+2028, U+2029 and U+0085, unescaped, at the end of the text
    huge: int = 0  # the text is this many letters, one delta
    batch: int = 1  # tokens in one delta

    # The wire.
    gap: float = 0.0  # seconds between two events
    drip: float | None = None  # one byte a write, this many seconds apart
    eol: Literal["lf", "crlf", "cr"] = "lf"
    ping: int = 0  # a comment before every so-manieth event
    multiline: bool = False  # one event over several data lines
    tight: bool = False  # no space after "data:"
    bom: bool = False  # a byte order mark opens the stream
    framing: Literal["", "chunked", "length", "close"] = ""  # default: chunked for a stream, else length
    bad_chunk: int | None = None  # a chunk size that is no number takes the place of this event
    keep_alive: bool = True  # false: says Connection: close, and does
    drop: bool = False  # closes after the answer without having said so
    header_bytes: int = 0  # a response header this long
    headers: dict[str, str] = {}

    times: int = 0  # a marker or header acts this often, then the answer is plain; 0: always


EOL = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}
FLAGS = frozenset(field.encode_name for field in msgspec.structs.fields(Step) if field.type is bool)
DONE = b"[DONE]"


def parse(text: str) -> Step:
    """The Step that a marker or an `x-script` header spells out; ValueError where it is none."""
    given: dict[str, str] = {}
    tokens = iter(text.replace(";", " ").split())
    for token in tokens:
        name, equals, value = token.partition("=")
        if equals:
            given[name] = value
        elif name in FLAGS:
            given[name] = "true"
        else:
            given[name] = next(tokens, "")
    try:
        return msgspec.convert(given, Step, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"script {text!r}: {error}") from error


def find_marker(text: str) -> str | None:
    """The first marker's text in a prompt."""
    found = MARKER.search(text)
    return found.group(1) if found else None


def strip_markers(text: str) -> str:
    """The prompt as it counts for the answer."""
    return MARKER.sub("", text).strip()


def damage(payload: bytes, index: int, *, step: Step) -> bytes:
    """The payload of the event with this index, made bad where the step says so."""
    if step.bad_utf8 == index:
        damaged = TEXT.sub(b"\\1\xff\xfe", payload, count=1)
        payload = damaged if damaged != payload else payload[:-1] + b"\xff\xfe" + payload[-1:]
    if step.bad_json == index:
        payload = payload[: len(payload) // 2]
    return payload


def frame(payload: bytes, index: int, *, step: Step, name: str = "") -> bytes:
    """One server-sent event as bytes: the payload at this index of the stream, in the step's way of writing it."""
    end = EOL[step.eol]
    lines = [payload]
    if step.multiline and payload != DONE:
        lines = msgspec.json.format(payload, indent=1).split(b"\n")
    field = b"data:" if step.tight else b"data: "
    event = b"".join(field + line + end for line in lines) + end
    if name:
        event = field.replace(b"data", b"event") + name.encode() + end + event
    if step.ping and index % step.ping == 0:
        event = b": ping" + end + end + event
    return b"\xef\xbb\xbf" + event if step.bom and index == 0 else event


def error_body(status: int, *, step: Step) -> tuple[bytes, bytes]:
    """Content type and body of a failure."""
    if step.body == "html":
        return b"text/html", b"<html><body><h1>%d</h1><p>nginx</p></body></html>\r\n" % status
    if step.body == "empty":
        return b"", b""
    body = msgspec.json.encode(
        error_object(step.message or f"scripted failure {status}", status, code=step.code)
    )
    return b"application/json", body[:-5] if step.body == "malformed" else body


def error_object(message: str, status: int, *, code: str | None = None) -> dict[str, object]:
    """The OpenAI error envelope for a status."""
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    kind = "server_error" if status >= 500 else kinds.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
