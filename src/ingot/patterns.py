r"""Regular expressions of JSON schemas: their syntax as a tree, and whether every engine takes them, in linear time.

    pattern --parse--> Node --pattern_problem--> None, or the reason why it is refused

Refused is what no linear engine has (look-around, back-references, atomic groups), what is no pattern at all, what
unfolds to too much, and what lets an engine that backtracks run for ever: a repetition whose rounds can end in two
places, as `(a+)+`, `(a*b?)*`, `(\w+\s?)*`. `[a-z]+(-[a-z]+)*` is fine, for its `-` says where a round begins. Whether
alternatives overlap is not looked at. Source: ECMA-262, as JSON Schema asks for it.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple, Union

LONGEST: Final = 1024
"""Characters of a pattern."""

MOST_REPEATED: Final = 1000
MOST_UNFOLDED: Final = 10_000
"""What a pattern may be with its counted repetitions written out."""

DEEPEST: Final = 32
LAST: Final = 0x10FFFF

Ranges = tuple[tuple[int, int], ...]
"""Code points, first and last of each run, in order and apart."""

_QUANTIFIER: Final = re.compile(r"([*+?]|\{(\d+)(,(\d*))?\})\??")
_GROUP: Final = re.compile(r"\((?:\?(?::|P?<[A-Za-z_$][\w$]*>))?")
_LOOK: Final = re.compile(r"\(\?<?[=!]")
_CODE: Final = re.compile(r"x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]{1,6}\}|c[A-Za-z]")
_PROPERTY: Final = re.compile(r"[pP]\{[A-Za-z_]+(=[A-Za-z0-9_]+)?\}")


class BadPattern(ValueError):
    """Not a pattern that is taken; the message is the end of a sentence."""


class Chars(NamedTuple):
    """One character of these; of a Unicode property (`exact` is false) it is only known that it is one."""

    ranges: Ranges
    exact: bool = True


class Edge(NamedTuple):
    """A place without a character: `^`, `$`, `b` or `B`."""

    kind: str


class Row(NamedTuple):
    """One part after the other."""

    parts: tuple["Node", ...]


class Choice(NamedTuple):
    """One of several."""

    options: tuple["Node", ...]


class Again(NamedTuple):
    """A part repeated; `most` is None for no bound."""

    body: "Node"
    least: int
    most: int | None


Node = Union[Chars, Edge, Row, Choice, Again]  # noqa: UP007  # the names are quoted above, and | takes no strings


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The same code points as runs in order and apart."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def others(ranges: Ranges) -> Ranges:
    """All code points but these."""
    edges = [-1, *(point for low, high in ranges for point in (low - 1, high)), LAST]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return tuple((low + 1, high) for low, high in pairs if low < high)


_DIGITS: Final[Ranges] = ((0x30, 0x39),)
_WORD: Final[Ranges] = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
# fmt: off
_SPACE: Final[Ranges] = (
    (9, 13), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029), (0x202F, 0x202F),
    (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF),
)
_SETS: Final = {
    "d": _DIGITS, "D": others(_DIGITS), "w": _WORD, "W": others(_WORD), "s": _SPACE, "S": others(_SPACE),
}
# fmt: on
_CONTROLS: Final = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11, "0": 0}
_DOT: Final = others(((10, 10), (13, 13), (0x2028, 0x2029)))


@lru_cache(maxsize=1024)
def parse(pattern: str) -> Node:
    """The pattern as a tree; raises BadPattern."""
    if len(pattern) > LONGEST:
        raise BadPattern(f"is longer than {LONGEST:,} characters")
    return _Parser(pattern).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def whole(self) -> Node:
        node = self.alternatives()
        if self.at < len(self.text):
            raise BadPattern("has a ) that opens nowhere")
        return node

    def alternatives(self) -> Node:
        options = [self.sequence()]
        while self.text.startswith("|", self.at):
            self.at += 1
            options.append(self.sequence())
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def sequence(self) -> Node:
        parts = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            parts.append(self.term())
        return parts[0] if len(parts) == 1 else Row(tuple(parts))

    def term(self) -> Node:
        atom = self.edge() or self.atom()
        match = _QUANTIFIER.match(self.text, self.at)
        if match is None:
            return atom
        self.at = match.end()
        if isinstance(atom, Edge) or _QUANTIFIER.match(self.text, self.at):
            raise BadPattern("repeats what cannot be repeated")
        return Again(atom, *_bounds(match))

    def edge(self) -> Edge | None:
        for written in ("^", "$", "\\b", "\\B"):
            if self.text.startswith(written, self.at):
                self.at += len(written)
                return Edge(written[-1])
        return None

    def atom(self) -> Node:
        char = self.text[self.at]
        if char == "(":
            return self.group()
        if char == "[":
            return self.character_class()
        if char == "\\":
            self.at += 1
            return self.escape()
        if _QUANTIFIER.match(self.text, self.at):
            raise BadPattern("repeats nothing")
        self.at += 1
        return Chars(_DOT) if char == "." else _only(ord(char))

    def group(self) -> Node:
        if _LOOK.match(self.text, self.at):
            raise BadPattern("looks around, by (?=, (?!, (?<= or (?<!")
        match = _GROUP.match(self.text, self.at)
        if match is None or self.text.startswith("?", match.end()):
            raise BadPattern("has a kind of group that JSON Schema does not know")
        self.at = match.end()
        self.depth += 1
        if self.depth > DEEPEST:
            raise BadPattern(f"nests deeper than {DEEPEST} groups")
        node = self.alternatives()
        self.depth -= 1
        if not self.text.startswith(")", self.at):
            raise BadPattern("has a ( that is not closed")
        self.at += 1
        return node

    def escape(self) -> Chars:
        """What an escape stands for; its backslash is behind us."""
        char = self.text[self.at : self.at + 1]
        if not char:
            raise BadPattern("ends in a backslash")
        if char in "123456789k":
            raise BadPattern("refers back to a group, as \\1 does")
        if match := _PROPERTY.match(self.text, self.at):
            self.at = match.end()
            return Chars(((0, LAST),), exact=False)
        if match := _CODE.match(self.text, self.at):
            self.at = match.end()
            return _only(_code(match[0]))
        self.at += 1
        if char in _SETS:
            return Chars(_SETS[char])
        if char.isalnum() and char not in _CONTROLS:
            raise BadPattern(f"has an escape that is not known: \\{char}")
        return _only(_CONTROLS.get(char, ord(char)))

    def character_class(self) -> Chars:
        self.at += 1
        negated = self.text.startswith("^", self.at)
        self.at += negated
        found: list[tuple[int, int]] = []
        exact = True
        while not self.text.startswith("]", self.at):
            low = self.member()
            exact &= low.exact
            if self.text.startswith("-", self.at) and self.text[self.at + 1 : self.at + 2] not in {"", "]"}:
                self.at += 1
                found.append(_span(low, self.member()))
            else:
                found += low.ranges
        self.at += 1
        ranges = merged(found)
        return Chars(others(ranges) if negated and exact else ranges, exact)

    def member(self) -> Chars:
        if self.at >= len(self.text):
            raise BadPattern("has a [ that is not closed")
        char = self.text[self.at]
        self.at += 1
        if char != "\\":
            return _only(ord(char))
        if self.text.startswith("b", self.at):  # a backspace, inside of a class
            self.at += 1
            return _only(8)
        return self.escape()


def _only(point: int) -> Chars:
    return Chars(((point, point),))


def _span(low: Chars, high: Chars) -> tuple[int, int]:
    """The range between two single characters."""
    first, last = low.ranges[0][0], high.ranges[-1][1]
    if len(low.ranges) > 1 or len(high.ranges) > 1 or low.ranges[0][1] != first or high.ranges[0][0] != last:
        raise BadPattern("has a range in [] whose ends are no single characters")
    if last < first:
        raise BadPattern("has a range in [] that runs backwards")
    return first, last


def _code(written: str) -> int:
    """The code point of `x41`, `u0041`, `u{41}` or `cA`."""
    if written[0] == "c":
        return ord(written[1]) % 32
    point = int(written[1:].strip("{}"), 16)
    if point > LAST:
        raise BadPattern("names a character beyond the last one")
    return point


def _bounds(match: re.Match[str]) -> tuple[int, int | None]:
    """The least and the most rounds."""
    if match[2] is None:
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[match[1]]
    least = _count(match[2])
    most = least if match[3] is None else _count(match[4]) if match[4] else None
    if most is not None and most < least:
        raise BadPattern("has a count whose end lies before its beginning")
    return least, most


def _count(digits: str) -> int:
    if len(digits) > 6 or int(digits) > MOST_REPEATED:
        raise BadPattern(f"counts to more than {MOST_REPEATED:,}")
    return int(digits)


# ---- what running it would take


class _Shape(NamedTuple):
    """What matters of a part: whether it can be empty, and which characters it may begin and end with, as bits.

    `ahead` are those by which a repetition at its end goes on, `behind` the same at its beginning, read backwards;
    `size` is how much it unfolds to.
    """

    empty: bool = True
    first: int = 0
    last: int = 0
    ahead: int = 0
    behind: int = 0
    size: int = 0


@lru_cache(maxsize=1024)
def pattern_problem(pattern: str) -> str | None:
    """Why a pattern is not taken, as the end of a sentence; None where it is."""
    try:
        _shape(parse(pattern))
    except BadPattern as error:
        return str(error)
    return None


def _shape(node: Node) -> _Shape:
    match node:
        case Chars(ranges=ranges):
            mask = 0
            for low, high in ranges:  # a bit for each of 256 characters, and one for all others
                mask |= (1 << min(high, 256) + 1) - (1 << min(low, 256))
            return _Shape(empty=False, first=mask, last=mask, size=1)
        case Row(parts=parts):
            shape = _Shape()
            for part in parts:
                shape = _then(shape, _shape(part))
        case Choice(options=options):
            shape = _shape(options[0])
            for option in options[1:]:
                shape = _either(shape, _shape(option))
        case Again():
            shape = _repeated(node)
        case _:
            return _Shape()
    if shape.size > MOST_UNFOLDED:
        raise BadPattern(f"unfolds to more than {MOST_UNFOLDED:,} steps")
    return shape


def _then(left: _Shape, right: _Shape) -> _Shape:
    return _Shape(
        empty=left.empty and right.empty,
        first=left.first | (right.first if left.empty else 0),
        last=right.last | (left.last if right.empty else 0),
        ahead=right.ahead | (left.ahead if right.empty else 0),
        behind=left.behind | (right.behind if left.empty else 0),
        size=left.size + right.size,
    )


def _either(left: _Shape, right: _Shape) -> _Shape:
    return _Shape(
        empty=left.empty or right.empty,
        first=left.first | right.first,
        last=left.last | right.last,
        ahead=left.ahead | right.ahead,
        behind=left.behind | right.behind,
        size=left.size + right.size,
    )


def _repeated(node: Again) -> _Shape:
    body, least, most = _shape(node.body), node.least, node.most
    if most != 1 and (body.ahead & body.first or body.behind & body.last):
        raise BadPattern("repeats a repetition, as (a+)+ does, and nothing tells where its rounds end")
    varies = least != most
    return _Shape(
        empty=body.empty or least == 0,
        first=body.first,
        last=body.last,
        ahead=body.ahead | (body.first if varies else 0),
        behind=body.behind | (body.last if varies else 0),
        size=body.size * (least + 1 if most is None else most) + 1,
    )
