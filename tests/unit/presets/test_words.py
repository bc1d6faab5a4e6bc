"""Rules in words, as the reference has them, and the reference page itself."""

import pytest

from ingot.presets import load, names, page, words
from ruled import written


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ('"accept"', "Passes on."),
        ('"reject"', "Refused."),
        ("{ one_of = [1] }", "Only 1."),
        ('{ one_of = ["a", "b", ["c"]] }', """Only 'a', 'b' or ["c"]."""),
        ("{ range = { min = 0, max = 2 }, default = 1 }", "A number from 0 to 2, 1 where not given."),
        ("{ range = { max = 0.5 } }", "A number of at most 0.5."),
        ("{ max_len = 8 }", "At most 8 long."),
        ("{ set = true }", "Always true."),
        ('[{ require = true, note = "See below." }, { range = { min = 1 } }]', "Required. See below. A number of at least 1."),
        ('{ drop = true, when = { field = "y", equals = 1 } }', "Accepted and ignored, if `y` is 1."),
        ('{ drop = true, when = { field = "y", differs = "z" } }', "Accepted and ignored, if `y` is not 'z'."),
        ('{ drop = true, when = { field = "y", present = true } }', "Accepted and ignored, if `y` is given."),
        ('{ check = "no_input_audio" }', "Checked by `no_input_audio` (no message has a part of the type `input_audio`)."),
    ],
)  # fmt: skip
def test_rule_is_said_in_words(rule: str, said: str) -> None:
    """One sentence for each row of a rule, and its note."""
    preset = written(f"[fields.chat]\nx = {rule}")
    assert words.rule(preset.fields["chat"]["x"]) == said


@pytest.mark.parametrize(
    ("look", "said"),
    [
        ('"accept"', "Passes on."),
        ('"drop"', "Taken out."),
        ('"null"', "Always null."),
        ('"present"', "Null where the target gave none."),
        ('{ rename = "y", note = "Always." }', "Called `y`. Always."),
        ('{ prefix = "a_" }', "Begins with `a_`."),
        ('{ told = { a = "b", c = "b" } }', "'a' is told as 'b', 'c' is told as 'b'."),
        ("{ default = { n = 0 } }", '{"n":0} where the target gave none.'),
    ],
)
def test_rule_on_answers_is_said_in_words(look: str, said: str) -> None:
    """What the client sees of the field."""
    preset = written(f"[answers.chat]\nx = {look}")
    assert words.look(preset.looks["chat"]["x"]) == said


def test_page_names_every_preset_and_every_rule() -> None:
    """A preset or a field that is added appears by itself."""
    text = page.page()
    for name in names():
        assert f"\n## {name}\n" in text
        section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        for field in load(name).fields.get("chat", {}):
            assert ("any other" if field == "*" else f"`{field}`") in section
        for path in load(name).looks.get("chat", {}):
            assert (path.removesuffix(".*") if path != "*" else "any other") in section
