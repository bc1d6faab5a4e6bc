"""The log's sink: keys are masked whoever logs them, lines leave together, and a dead pipe harms nobody."""

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest

from ingot.logs import LineSink, capture_stdlib, configure, looks_like_key, mask

KEYS = [
    b"sk-abcdefghijklmnop",
    b"sk-proj-abcdefghijklmnop_123-456",
    b"ik_0123456789abcdef",
    b"hf_abcdefghijklmnopqrst",
    b"gsk_abcdefghijklmnopqrst",
    b"xai-abcdefghijklmnopqrst",
    b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
]


class Broken(io.BytesIO):
    """A pipe whose reader is gone."""

    def write(self, _: object) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("key", KEYS)
def test_key_is_masked_when_it_stands_anywhere(key: bytes) -> None:
    """In a header, a URL, a sentence or a JSON string."""
    for line in (b'{"a":"%b"}', b"https://x/?key=%b&b=1", b"wrong key %b given", b"Bearer %b"):
        assert looks_like_key(line % key)
        masked = mask(line % key)
        assert key not in masked
        assert b"[masked]" in masked


@pytest.mark.parametrize(
    "text",
    [
        b"req_0123456789abcdef01234567",
        b"chatcmpl-0123456789abcdef",
        b"task-list",
        b"disk-usage-of-the-machine",
    ],
)
def test_text_is_kept_when_it_is_no_key(text: bytes) -> None:
    """Ids and words are what a log is for."""
    assert mask(text) == text
    assert not looks_like_key(text)


def test_bearer_token_is_masked_when_it_has_no_known_form() -> None:
    """What follows `Bearer` is a credential, whatever it looks like."""
    assert mask(b'"authorization":"Bearer abc.def/ghi"') == b'"authorization":"Bearer [masked]"'


def test_lines_leave_together_when_a_timer_can_be_armed() -> None:
    """One write for all lines of a moment; an urgent line takes the waiting ones along."""
    stream = io.BytesIO()
    sink = LineSink(stream)
    armed: list[Callable[[], None]] = []
    sink.later = lambda _, flush: armed.append(flush)
    sink.write(b"one", at_once=False)
    sink.write(b"two", at_once=False)
    assert (stream.getvalue(), len(armed)) == (b"", 1)
    armed[0]()
    assert stream.getvalue() == b"one\ntwo\n"
    sink.write(b"three", at_once=False)
    sink.write(b"four", at_once=True)
    assert stream.getvalue() == b"one\ntwo\nthree\nfour\n"


def test_lines_leave_at_once_when_no_loop_runs_or_many_wait() -> None:
    """Before the loop starts and after it ended nothing would come to flush them; 32 KB is enough to wait for."""
    stream = io.BytesIO()
    sink = LineSink(stream)
    sink.write(b"early", at_once=False)
    assert stream.getvalue() == b"early\n"
    sink.later = lambda _, __: None
    for _ in range(50):
        sink.write(b"x" * 1000, at_once=False)
    assert len(stream.getvalue()) > 30_000


def test_writing_goes_on_when_the_pipe_is_broken() -> None:
    """A log collector that died must not take requests down with it."""
    sink = LineSink(Broken())
    sink.write(b"line", at_once=True)
    sink.write(b"line", at_once=True)


def test_record_is_one_json_line_when_logged() -> None:
    """Event, level, time and fields; an exception with its traceback, keys in it masked."""
    stream = io.BytesIO()
    log = configure(LineSink(stream), form="json", level="info")
    log.debug("below the level")
    log.info("hello", target="up", tokens=3)
    log.error("failed", exc_info=ValueError("the key sk-abcdefghijklmnop is wrong"))
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["event"], first["level"], first["target"], first["tokens"]) == ("hello", "info", "up", 3)
    assert first["time"].endswith("Z")
    assert "ValueError" in second["exception"]
    assert b"sk-abcdef" not in stream.getvalue()


@pytest.fixture
def root_logger() -> Iterator[None]:
    """The standard library's root logger as it was before."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("root_logger")
def test_library_is_heard_when_it_warns() -> None:
    """What libraries say through `logging` lands in the same place, under its logger's name."""
    stream = io.BytesIO()
    capture_stdlib(configure(LineSink(stream), form="json", level="info"))
    logging.getLogger("some.library").warning("odd: %s", "sk-abcdefghijklmnop")
    logging.getLogger("some.library").info("chatter")
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert (record["level"], record["logger"]) == ("warning", "some.library")
    assert record["message"] == "odd: [masked]"
