"""Long JSON in pieces: whatever the cuts, the same values are found, the same is refused, and each byte is looked at once."""

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot import rawjson, rawstream
from ingot.errors import ApiError, InvalidRequest, TooLarge
from ingot.rawstream import Lines, Values

PATIENT = settings(deadline=None)  # a busy machine is no fault
NAME = "requests"
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.text('"\\{}[],:', max_size=6)
VALUES = st.recursive(
    SCALARS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS.filter(lambda name: name != NAME), VALUES, max_size=4)
WRITERS = st.sampled_from(
    [
        msgspec.json.encode,
        lambda value: json.dumps(value).encode(),
        lambda value: json.dumps(value, indent="\t", ensure_ascii=False).encode() + b"\r\n",
        lambda value: b"  " + json.dumps(value, separators=(" , ", " : ")).encode(),
    ]
)


def cut(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """The bytes in pieces of these sizes, and what is left in one."""
    for size in sizes:
        yield data[:size]
        data = data[size:]
    yield data


def read(pieces: Iterable[bytes], *, most: int = 10_000, head: int = 10_000) -> tuple[list[bytes], Values]:
    """All items, and what they were read with."""
    values = Values(NAME, most=most, head=head)
    found = [item for piece in pieces for item in values.feed(piece)]
    values.close()
    return found, values


def said(pieces: Iterable[bytes], **limits: int) -> str:
    """What is found, or the words of the refusal."""
    try:
        found, values = read(pieces, **limits)
    except ApiError as error:
        return f"{type(error).__name__} {error.message}"
    return repr((found, values.head))


def ones(data: bytes) -> Iterator[bytes]:
    """Byte by byte."""
    return cut(data, [1] * len(data))


# ---- an object with one long array


@PATIENT
@given(OBJECTS, st.lists(VALUES, max_size=5), WRITERS, st.integers(0, 4), st.lists(st.integers(0, 30)))
def test_items_and_head_are_those_of_the_object_when_it_comes_in_pieces(
    rest: dict[str, Any], items: list[Any], write: Any, place: int, sizes: list[int]
) -> None:
    """Wherever the array stands and wherever the cuts are: what json.loads sees, and the bytes as they came."""
    pairs = list(rest.items())
    pairs.insert(place, (NAME, items))
    data = write(dict(pairs))
    found, values = read(cut(data, sizes))
    assert [json.loads(item) for item in found] == items
    assert all(item in data for item in found)
    assert rawjson.parse(values.head).value == rest
    assert values.found


@PATIENT
@given(OBJECTS, WRITERS, st.lists(st.integers(0, 30)))
def test_array_is_not_found_when_there_is_none(rest: dict[str, Any], write: Any, sizes: list[int]) -> None:
    """Nothing but a head; an array of that name further in is no matter."""
    found, values = read(cut(write({**rest, "in": {NAME: [1]}}), sizes))
    assert (found, values.found) == ([], False)
    assert json.loads(values.head) == {**rest, "in": {NAME: [1]}}


@PATIENT
@given(OBJECTS, st.lists(VALUES, max_size=3), WRITERS, st.lists(st.integers(0, 9)), st.data())
def test_mutated_body_is_refused_or_means_what_it_says(
    rest: dict[str, Any], items: list[Any], write: Any, sizes: list[int], data: st.DataObject
) -> None:
    """With one byte changed it is what json.loads sees, or somebody refuses it: here, or where values are judged."""
    body = bytearray(write({**rest, NAME: items}))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        found, values = read(cut(bytes(body), sizes))
        seen = [rawjson.parse(b'{"i":' + item + b"}").value["i"] for item in found]
        head = rawjson.parse(values.head).value
    except InvalidRequest:
        return
    whole = json.loads(bytes(body))
    assert (seen if values.found else None) == whole.pop(NAME, None)
    assert head == whole


BROKEN = [
    (b"", "it is empty, and a JSON object is expected"),
    (b" \r\n", "it is empty, and a JSON object is expected"),
    (b"{", "it ends too early"),
    (b'{"requests"', "it ends too early"),
    (b'{"requests":', "it ends too early"),
    (b'{"requests":[', "it ends too early"),
    (b'{"requests":[{}', "it ends too early"),
    (b'{"requests":[{},', "it ends too early"),
    (b'{"requests":[{}]', "it ends too early"),
    (b'{"requests":["a\\"]}', "it ends too early"),
    (b'{"a":tru', "it ends too early"),
    (b'{"requests":[{}]}x', "something follows the object"),
    (b"{}{}", "something follows the object"),
    (b'{"requests":[{}{}]}', "a comma or a closing bracket is expected behind an item of 'requests'"),
    (b'{"requests":["a" "b"]}', "a comma or a closing bracket is expected behind an item of 'requests'"),
    (b'{"requests":[{}}}', "a comma or a closing bracket is expected behind an item of 'requests'"),
    (b'{"requests":[{},]}', "a value is expected"),
    (b'{"requests":[,{}]}', "a value is expected"),
    (b'{"a":}', "a value is expected"),
    (b'{"a":1,}', "a value is expected"),
    (b"{,}", "a value is expected"),
    (b'{"a":1 "b":2}', "a comma or a closing brace is expected behind a value of the object"),
    (b'{"requests":[]]', "a comma or a closing brace is expected behind a value of the object"),
    (b"{a:1}", "a name in quotes and a colon are expected"),
    (b"{[1]:2}", "a name in quotes and a colon are expected"),
    (b'{"a" 1}', "a name in quotes and a colon are expected"),
]


@pytest.mark.parametrize(("data", "words"), BROKEN)
def test_malformed_body_is_refused_with_what_is_wrong_when_cut_anywhere(data: bytes, words: str) -> None:
    """The same words in one piece and byte by byte, with the code that any malformed body has."""
    with pytest.raises(InvalidRequest) as caught:
        read([data])
    assert (caught.value.code, caught.value.status) == ("invalid_json", 400)
    assert words in caught.value.message
    assert said(ones(data)) == said([data])


@pytest.mark.parametrize("data", [b"[]", b'"a"', b"1", b"nul", b"\xef\xbb\xbf{}", b"}"])
def test_body_that_is_no_object_is_refused_at_its_first_byte(data: bytes) -> None:
    """Before the rest of it is read."""
    with pytest.raises(InvalidRequest, match="must be a JSON object") as caught:
        Values(NAME, most=9).feed(data[:1])
    assert caught.value.code == "invalid_type"


@pytest.mark.parametrize("value", ["{}", "null", "3", '"a"', "]"])
def test_array_that_is_none_is_refused_with_its_name(value: str) -> None:
    """The parameter and its type are named."""
    with pytest.raises(InvalidRequest, match="expected an array") as caught:
        read([b'{"requests":' + value.encode() + b"}"])
    assert (caught.value.param, caught.value.code) == (NAME, "invalid_type")


@pytest.mark.parametrize("again", [b'"requests"', b'"\\u0072equests"'])
def test_array_is_refused_when_given_twice(again: bytes) -> None:
    """However its name is written: nobody can tell which one counts."""
    data = b'{"requests":[1],' + again + b":[2]}"
    with pytest.raises(InvalidRequest, match="given twice") as caught:
        read([data])
    assert caught.value.param == NAME
    assert said(ones(data)) == said([data])


def test_array_is_found_when_its_name_is_escaped() -> None:
    """A name is a text, and not the bytes that it is written with; what is no text is left to who judges the head."""
    found, values = read([b'{"\\u0072\\u0065quests":[1,2],"\\q":3}'])
    assert (found, values.head) == ([b"1", b"2"], b'{"\\q":3}')


@PATIENT
@given(st.sampled_from([data for data, _ in BROKEN]), st.lists(st.integers(0, 5), max_size=9))
def test_verdict_does_not_depend_on_the_cuts(data: bytes, sizes: list[int]) -> None:
    """Which is what lets a test of one cut speak for all."""
    assert said(cut(data, sizes)) == said([data])


# ---- limits


@PATIENT
@given(
    st.integers(1, 40),
    st.sampled_from([b'"%b"', b"[%b]", b'{"a":"%b"}', b"%b"]),
    st.sampled_from([1, 3, 999]),
)
def test_item_is_refused_when_it_has_a_byte_too_many(size: int, form: bytes, piece: int) -> None:
    """The largest item is taken, one byte more is not; in one piece or byte by byte."""
    item = form % (b"1" * size)
    data = b'{"requests":[0, ' + item + b" ,0]}"

    def pieces() -> Iterable[bytes]:
        return cut(data, [piece] * len(data))

    assert read(pieces(), most=len(item))[0] == [b"0", item, b"0"]
    if len(item) > 1:
        with pytest.raises(TooLarge, match="An item of 'requests' has more than") as caught:
            read(pieces(), most=len(item) - 1)
        assert (caught.value.param, caught.value.status) == (NAME, 413)


def test_item_is_refused_when_it_never_ends() -> None:
    """As soon as it has too much, and not when the body is over."""
    values = Values(NAME, most=100)
    values.feed(b'{"requests":["')
    values.feed(b"a" * 99)
    with pytest.raises(TooLarge, match="more than 100 bytes"):
        values.feed(b"a")


@pytest.mark.parametrize(
    "more",
    [
        b'"a":"' + b"x" * 200 + b'"',
        b",".join(b'"%d":"xxxxxxxx"' % number for number in range(20)),
        b",".join(b'"' + b"n" * 40 + b'%d":0' % number for number in range(5)),
        b'"' + b"n" * 200 + b'":0',
        b'"a":[[[' + b"1" * 200,
    ],
    ids=["a value", "many values", "names", "a name", "no end"],
)
def test_head_is_refused_when_it_is_too_large(more: bytes) -> None:
    """Names count as values do: a million of them is as much to hold. What stands in the array does not count."""
    fits = b'{"requests":[' + b",".join([b'"' + b"x" * 90 + b'"'] * 9) + b'],"a":1}'
    assert len(read([fits], head=100)[0]) == 9
    for pieces in ([b"{" + more + b"}"], ones(b"{" + more + b"}")):
        with pytest.raises(TooLarge, match="stands beside 'requests' has more than 100 bytes") as caught:
            read(pieces, head=100)
        assert caught.value.status == 413


# ---- lines


@PATIENT
@given(st.lists(st.text('ab \t"é', max_size=6)), st.sampled_from(["\n", "\r\n"]), st.lists(st.integers(0, 9)))
def test_lines_are_those_of_the_text_when_it_comes_in_pieces(
    texts: list[str], end: str, sizes: list[int]
) -> None:
    """Each with its number, empty ones counted and left out; with an end of the last line or without."""
    expected = [
        (number, text.strip(" \t\r").encode()) for number, text in enumerate(texts, 1) if text.strip(" \t\r")
    ]
    for tail in ("", end):
        lines = Lines(most=50)
        data = (end.join(texts) + tail).encode()
        found = [each for piece in cut(data, sizes) for each in lines.feed(piece)]
        assert [*found, *lines.close()] == expected


@pytest.mark.parametrize("end", [b"\n", b""])
def test_line_is_refused_with_its_number_when_it_is_too_long(end: bytes) -> None:
    """One of the most bytes is taken; one more is not, whether its end has come or not."""
    taken = Lines(most=5)
    assert [*taken.feed(b"\nabcde" + end), *taken.close()] == [(2, b"abcde")]
    for pieces in ([b"\nabcdef" + end], ones(b"\nabcdef" + end)):
        lines = Lines(most=5)
        with pytest.raises(TooLarge, match="Line 2 has more than 5 bytes"):
            list(chain.from_iterable(map(lines.feed, pieces)))


# ---- work


class Looks:
    """A pattern that counts the bytes which it goes over."""

    def __init__(self, pattern: Any) -> None:
        self.pattern = pattern
        self.bytes = 0

    def match(self, held: bytes, at: int = 0) -> Any:
        found = self.pattern.match(held, at)
        self.bytes += 1 if found is None else found.end() - at
        return found

    def search(self, held: bytes, at: int = 0) -> Any:
        found = self.pattern.search(held, at)
        self.bytes += (len(held) if found is None else found.end()) - at
        return found


class Held(bytearray):
    """Bytes that count those which a search goes over."""

    looked = 0

    def find(self, *where: Any) -> int:
        found = super().find(*where)
        self.looked += (len(self) if found < 0 else found + 1) - where[1]
        return found


LONG = 20_000


@pytest.mark.parametrize("size", [1, 7, 1_000, LONG])
@pytest.mark.parametrize(
    "item",
    [
        b'"' + b"a" * LONG + b'"',
        b'"' + b'\\"' * (LONG // 2) + b'"',
        b"1" * LONG,
        b"[" * (LONG // 2) + b"]" * (LONG // 2),
        b"[" + b'"a",' * (LONG // 4) + b"0]",
        b" " * LONG + b'"b"' + b" " * LONG,
    ],
    ids=["text", "escapes", "number", "brackets", "texts", "space"],
)
def test_bytes_are_looked_at_about_once_when_they_come_in_pieces(
    item: bytes, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a value is and however small the pieces: nothing is gone over again from its beginning."""
    looks = {name: Looks(getattr(rawstream, name)) for name in ("_SPACE", "_MARK", "_QUOTED", "_SCALAR")}
    for name, each in looks.items():
        monkeypatch.setattr(rawstream, name, each)
    data = b'{"a"' + b" " * LONG + b":" + item + b',"requests":[' + item + b"," + item + b"]}"
    found, _ = read(cut(data, [size] * (len(data) // size)), most=2 * LONG, head=3 * LONG)
    assert found == [item.strip()] * 2
    assert sum(each.bytes for each in looks.values()) <= 2 * len(data) + 100


@pytest.mark.parametrize("size", [1, 7, 1_000, LONG])
def test_lines_are_looked_at_about_once_when_they_come_in_pieces(size: int) -> None:
    """A line that has not ended is searched on from where the last look stopped."""
    lines = Lines(most=LONG)
    lines._held = Held()
    data = (b"a" * (LONG - 1) + b"\n") * 3
    found = [each for piece in cut(data, [size] * (len(data) // size)) for each in lines.feed(piece)]
    assert [number for number, _ in found] == [1, 2, 3]
    assert lines._held.looked <= len(data) + 3 * size
