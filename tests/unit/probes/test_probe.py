"""Files of probes: those that ship, and what is said of one that cannot be used."""

from collections import Counter

import pytest

from ingot.probes import AREAS, BadProbes, read_probes, shipped
from ingot.probes.predicates import Reply
from ingot.probes.probe import fingerprint

FILE = """
area = "manners"
about = "It is polite."
[[probes]]
id = "m-1"
ask = "Hello?"
good = "Greets."
rules = [{ mentions = ["hello", "hi"], longer = 1 }]
"""


def test_shipped_when_they_are_read() -> None:
    """Twenty of each area at least, no id twice, and silence keeps the rules of none."""
    probes = shipped()
    counts = Counter(probe.area for probe in probes)
    assert list(counts) == list(AREAS)
    assert min(counts.values()) >= 20
    assert len({probe.id for probe in probes}) == len(probes)
    assert len({str(probe.messages) for probe in probes}) == len(probes)
    for probe in probes:
        assert probe.broken(Reply("")), probe.id
    assert fingerprint(probes) == fingerprint(probes[::-1])
    assert fingerprint(probes) != fingerprint(probes[1:])


def test_rules_when_an_answer_breaks_some() -> None:
    """They are named as they are written."""
    [probe] = read_probes(FILE.encode(), "f")
    assert [str(rule) for rule in probe.rules] == ['mentions = ["hello","hi"]', "longer = 1"]
    assert [str(rule) for rule in probe.broken(Reply("Good day."))] == ['mentions = ["hello","hi"]']
    assert probe.broken(Reply("Hi there.")) == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"manners"', "3", "f: area must be a name"),
        ('"manners"', '"Bad manners"', "f: area must be a name"),
        ('"It is polite."', '" "', "f: about must say"),
        ("[[probes]]", "[[probe]]", "f holds no [[probes]]"),
        ('"m-1"', '"M 1"', "f: probes[0].id must be"),
        ('good = "Greets."', "", "f: probes[0].good must say"),
        ('good = "Greets."', 'good = "Greets."\nbad = "x"', "f: probes[0]: bad is no key of a probe"),
        ('ask = "Hello?"', "", "f: probes[0] needs one of ask and messages"),
        ('ask = "Hello?"', "ask = 3", "f: probes[0].ask must be a text"),
        ('ask = "Hello?"', "messages = []", "f: probes[0].messages must be a list"),
        (
            'ask = "Hello?"',
            'messages = [{ role = "king", content = "x" }]',
            "f: probes[0].messages[0] must have a role of system, user, assistant",
        ),
        (
            'ask = "Hello?"',
            'messages = [{ role = "system", content = "x" }]',
            "f: probes[0].messages must end with one of the user",
        ),
        ("[{ mentions", "[3, { mentions", "f: probes[0].rules[0] must be a table"),
        ("mentions =", "menshuns =", "f: probes[0].rules[0]: no predicate is named 'menshuns'"),
        ("[{ mentions", "{ x = 1 } #", "f: probes[0].rules must be a list of rules"),
        ("area", "= area", "f is no TOML"),
    ],
)
def test_file_when_it_cannot_be_used(old: str, new: str, message: str) -> None:
    """The place and what would be right."""
    assert old in FILE
    with pytest.raises(BadProbes) as caught:
        read_probes(FILE.replace(old, new, 1).encode(), "f")
    assert message in str(caught.value)


def test_file_when_an_id_is_given_twice() -> None:
    """It is named."""
    rows = FILE[FILE.index("[[probes]]") :]
    with pytest.raises(BadProbes, match="the id m-1 is given twice"):
        read_probes((FILE + rows).encode(), "f")
