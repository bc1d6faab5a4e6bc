"""Regular expressions of schemas: which every engine takes in linear time, and their trees."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.patterns import (
    LAST,
    Again,
    BadPattern,
    Chars,
    Choice,
    Edge,
    Row,
    merged,
    others,
    parse,
    pattern_problem,
)

TAKEN = [
    "",
    "a|b",
    "()",
    "(a|)",
    "[]",
    "[^]",
    "a{0}",
    "]",
    "{",
    "a{,3}",
    r"[\w.-]+",
    r"\u0041[\x00-\x7f]\cA\0",
    r"^\p{L}+$",
    r"^#[0-9A-Fa-f]{6}$",
    r"^\d{4}-\d{2}-\d{2}$",
    r"^\+[1-9]\d{1,14}$",
    r"^[a-z0-9]+(-[a-z0-9]+)*$",
    r"^(\w+\.)+$",
    r"^[a-z]+( [a-z]+){0,4}$",
    r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
    r"^(\([0-9]{3}\))?[0-9]{3}-[0-9]{4}$",
    r"^\d{1,3}(,\d{3})*(\.\d+)?$",
    r"^((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)$",
    r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
    r"^[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
    (
        r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
        r"(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$"
    ),
]

ENDLESS = [
    "(a+)+",
    "(a*)*",
    "(a+){2,}",
    "(a+){3}",
    r"(\w+\s?)*",
    r"^(\d{1,3},?)*$",
    "(a{1,3})*",
    "(a?a)*",
    "(a*a)+",
    "(a|b+)+c",
    "((a+)b?)+",
    "((((a?)?)?)?)*",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
    r"([\u0400-\u04ff]+.?)*",
]


@pytest.mark.parametrize("pattern", TAKEN)
def test_pattern_problem_when_all_is_well(pattern: str) -> None:
    """Patterns as schemas have them: dates, numbers, slugs, versions, addresses."""
    assert pattern_problem(pattern) is None


@pytest.mark.parametrize("pattern", ENDLESS)
def test_pattern_problem_when_rounds_have_no_end(pattern: str) -> None:
    """A repetition of what can end in two places is refused."""
    assert "nothing tells where its rounds end" in str(pattern_problem(pattern))


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        (r"^(?=.*\d)", "looks around"),
        ("(?!a)b", "looks around"),
        ("(?<=a)b", "looks around"),
        ("(?<!a)b", "looks around"),
        (r"(a)\1", "refers back"),
        (r"(?<x>a)\k<x>", "refers back"),
        ("(?>a)", "a kind of group"),
        ("(?i)a", "a kind of group"),
        ("(?(1)a|b)", "a kind of group"),
        ("(?P=x)", "a kind of group"),
        ("(a", "a ( that is not closed"),
        ("a)", "a ) that opens nowhere"),
        ("[a", "a [ that is not closed"),
        ("[a\\", "ends in a backslash"),
        ("\\", "ends in a backslash"),
        ("a**", "cannot be repeated"),
        ("a++", "cannot be repeated"),
        ("^*", "cannot be repeated"),
        (r"\b+", "cannot be repeated"),
        ("*a", "repeats nothing"),
        ("|+", "repeats nothing"),
        ("{2}", "repeats nothing"),
        ("[z-a]", "runs backwards"),
        (r"[\d-z]", "no single characters"),
        (r"\y", r"not known: \y"),
        (r"\u{110000}", "beyond the last"),
        ("a{1001}", "counts to more than 1,000"),
        ("a{99999999999999999999}", "counts to more than 1,000"),
        ("a{3,2}", "before its beginning"),
        ("(a{100}){1000}", "unfolds to more than 10,000"),
        ("(" * 40 + ")" * 40, "nests deeper than 32"),
        ("a" * 1025, "longer than 1,024"),
    ],
)
def test_pattern_problem_when_it_is_not_taken(pattern: str, problem: str) -> None:
    """What no linear engine has, what is no pattern, and what is too much."""
    assert problem in str(pattern_problem(pattern))


@given(st.text(st.sampled_from("ab|()[]{}*+?^$\\-,.1d:<=!pLux "), max_size=20))
def test_pattern_problem_when_text_is_arbitrary(pattern: str) -> None:
    """Whatever is sent, the answer is a reason or none; what is taken, another parser reads too."""
    if pattern_problem(pattern) is None and not re.search(r"[\[{]|\\[pPuxcd]|\(\?", pattern):
        re.compile(pattern)


def test_parse_when_everything_is_used() -> None:
    """The tree holds characters as ranges, and repetitions with their bounds."""
    assert parse(r"^a[b-dx]{2,}(?:\d|.)?$") == Row(
        (
            Edge("^"),
            Chars(((97, 97),)),
            Again(Chars(((98, 100), (120, 120))), 2, None),
            Again(Choice((Chars(((48, 57),)), Chars(others(((10, 10), (13, 13), (0x2028, 0x2029)))))), 0, 1),
            Edge("$"),
        )
    )
    assert parse(r"[^\x00-\u{10fffe}]") == Chars(((LAST, LAST),))
    assert parse(r"[\b\t\-\]a-]") == Chars(((8, 9), (45, 45), (93, 93), (97, 97)))
    with pytest.raises(BadPattern):
        parse("(")


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), max_size=5))
def test_others_when_turned_twice(starts: list[tuple[int, int]]) -> None:
    """The complement of the complement is the set itself; together they are all."""
    ranges = merged((low, low + width) for low, width in starts)
    assert others(others(ranges)) == ranges
    assert merged([*ranges, *others(ranges)]) == ((0, LAST),)
