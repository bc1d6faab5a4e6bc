"""Server-sent events: whatever the portions, the same events come out, byte for byte."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.sse import EventTooLarge, SseSplitter, encode_event, event_data

_TEXT = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=40)
_END = st.sampled_from(["\n", "\r\n", "\r"])


def _portions(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


@given(
    st.lists(st.lists(_TEXT, min_size=1, max_size=3), max_size=5),
    _END,
    st.lists(st.integers(0, 10_000), max_size=12),
)
def test_events_come_whole_when_portions_are_arbitrary(
    events: list[list[str]], end: str, cuts: list[int]
) -> None:
    """Each event's data comes out once and in order, however the network cut the bytes."""
    stream = "".join("".join(f"data: {line}{end}" for line in lines) + end for lines in events).encode()
    splitter = SseSplitter()
    found = [event for piece in _portions(stream, cuts) for event in splitter.feed(piece)]
    # A stream that ends in CR may be waiting for its LF: the sender's next byte settles it.
    if end == "\r" and events:
        found += splitter.feed(b": end\n\n")
    data = [value for value in map(event_data, found) if value is not None]
    assert data == ["\n".join(lines).encode() for lines in events]


@given(st.lists(_TEXT, max_size=5), _END, st.lists(st.integers(0, 10_000), max_size=12))
def test_bytes_are_kept_when_events_are_joined(lines: list[str], end: str, cuts: list[int]) -> None:
    """Events and the rest, put together, are the bytes that came in."""
    stream = "".join(f": c{end}data: {line}{end}{end}" for line in lines).encode() + b"data: unfinished"
    splitter = SseSplitter()
    found = [event for piece in _portions(stream, cuts) for event in splitter.feed(piece)]
    assert b"".join(found) + splitter.rest() == stream


@pytest.mark.parametrize("cuts", [[], [1], [2], [3], [4], [1, 2, 3], [9]])
def test_byte_order_mark_is_skipped_when_the_stream_begins_with_it(cuts: list[int]) -> None:
    """Once and at the start alone, however it is cut; further on it is part of a line."""
    stream = b"\xef\xbb\xbfdata: a\n\ndata: \xef\xbb\xbfb\n\n"
    splitter = SseSplitter()
    found = [event for piece in _portions(stream, cuts) for event in splitter.feed(piece)]
    assert b"".join(found) == stream[3:]
    assert [event_data(event) for event in found] == [b"a", b"\xef\xbb\xbfb"]
    later = b"\xef\xbb\xbf: c\n\n"
    assert splitter.feed(later) == [later]
    plain = SseSplitter()
    assert plain.lone_data(b"data: a\n\n") == b"a"
    assert plain.feed(later) == [later]


def test_unicode_separators_stay_inside_data_when_present() -> None:
    """U+2028 and U+0085 do not end a line."""
    text = "one\u2028two\u0085three".encode()
    (event,) = SseSplitter().feed(b"data: " + text + b"\n\n")
    assert event_data(event) == text


def test_comment_has_no_data_when_it_stands_alone() -> None:
    """A keep-alive comment is an event without data."""
    (event,) = SseSplitter().feed(b": ping\n\n")
    assert event_data(event) is None


def test_data_is_read_when_no_space_follows_the_colon() -> None:
    """One space after the colon is optional, a second one is content."""
    assert event_data(b"data:x\n\n") == b"x"
    assert event_data(b"data:  x\n\n") == b" x"


def test_other_fields_are_ignored_when_data_is_asked() -> None:
    """Only data lines make up the data."""
    assert event_data(b"event: a\nid: 1\ndata: x\nretry: 3\ndata: y\n\n") == b"x\ny"


def test_endless_event_is_refused_when_past_the_bound() -> None:
    """An upstream that never ends its event cannot fill the memory."""
    splitter = SseSplitter(limit=10)
    with pytest.raises(EventTooLarge):
        splitter.feed(b"data: 0123456789")


def test_encoding_round_trips_when_parsed() -> None:
    """What is encoded is read back."""
    assert event_data(encode_event(b"{}", b"ping")) == b"{}"
    assert event_data(encode_event(b"{}")) == b"{}"
