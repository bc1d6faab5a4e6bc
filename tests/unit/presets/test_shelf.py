"""Presets as files: those that ship, what `extends` puts together, and what is said of mistakes."""

import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest

from ingot import presets
from ingot.config import PRESETS, ConfigError
from ingot.dialects.chat import CHAT
from ingot.dialects.messages import MESSAGES
from ingot.dialects.opaque import COMPLETIONS, EMBEDDINGS
from ingot.dialects.responses import COMPACT, RESPONSES
from ingot.presets import Preset, dressed, load, load_all, names, page, parse
from ingot.presets.sections import BODIES, SURFACES, SurfaceName
from ingot.store.steps.organizations import PLAN_ROWS
from ruled import written

ALL = [load(name) for name in names()]


def mistakes(text: str) -> list[str]:
    """What is said of a file, a line for each mistake."""
    with pytest.raises(ConfigError) as caught:
        parse("written", f'extends = "open"\nabout = "A test."\n{text}')
    return [str(each) for each in caught.value.problems]


def test_presets_that_ship_are_those_that_a_server_can_choose() -> None:
    """The configuration, the shelf and the package's files name the same."""
    assert names() == PRESETS
    assert sorted(file.stem for file in Path(presets.__file__).parent.glob("*.toml")) == sorted(PRESETS)


def test_names_of_surfaces_are_the_same_in_both_forms() -> None:
    """The type that files are checked against and the list that code reads."""
    assert get_args(SurfaceName) == SURFACES
    assert {CHAT.name, COMPLETIONS.name, EMBEDDINGS.name, MESSAGES.name, RESPONSES.name, COMPACT.name} == set(
        BODIES
    )


def test_every_preset_rests_on_open() -> None:
    """A key that all share has one place."""
    for preset in ALL[1:]:
        base: Preset = preset
        while base.extends is not None:
            base = load(base.extends)
        assert base is ALL[0]


def test_open_changes_nothing() -> None:
    """The default has no rule and no error of its own, so that the hot path pays nothing for it."""
    for dialect in (CHAT, COMPLETIONS, EMBEDDINGS):
        assert dressed(dialect, load("open")) is dialect
    assert load("open").surfaces == set(SURFACES)


def test_plans_of_open_are_those_of_a_new_database() -> None:
    """The two places that name them agree."""
    rows = {row["name"]: row for row in PLAN_ROWS}
    for name, plan in load("open").plans.items():
        assert {key: getattr(plan, key) for key in ("keys", "rpm", "tpm", "concurrency", "weight")} == {
            key: value for key, value in rows[name].items() if key not in ("id", "name")
        }


def test_plan_is_exact_when_it_has_money() -> None:
    """USD become 1e-12 USD and factors parts per million, without rounding."""
    plan = written(
        '[plans.rows.gold]\nmonthly_price = 19.99\nmonthly_credits = 0.000000000001\nprice_factor = 0.85\nmodels = ["a"]'
    ).plans["gold"]
    assert (plan.monthly_price, plan.monthly_credits) == (19_990_000_000_000, 1)
    assert (plan.price_factor, plan.weight, plan.rpm, plan.models) == (850_000, 1, None, ("a",))


def test_tables_are_put_together_when_a_preset_extends_another() -> None:
    """Tables are merged; rules, rows and lists take the place of what was there."""
    preset = parse(
        "written",
        'extends = "aurora"\nsurfaces = ["chat"]\n[keys]\nmost = 5\n[plans.rows.free]\nrpm = 7\n'
        '[fields.chat]\nmax_tokens = "accept"',
    )
    assert preset.surfaces == {"chat"}
    assert (preset.keys.prefix, preset.keys.most) == ("mk", 5)
    free = preset.plans["free"]
    assert (free.rpm, free.tpm, free.keys) == (7, None, None)
    assert preset.plans["pro"] == load("aurora").plans["pro"]
    assert set(preset.fields["chat"]) == set(load("aurora").fields["chat"])
    assert preset.fields["chat"]["max_tokens"] == "accept"


def test_surface_without_headers_has_no_keys_of_retries() -> None:
    """An empty list switches them off for one surface."""
    preset = written('[idempotency.headers]\nchat = []\nembeddings = ["x-key", "y-key"]')
    assert preset.idempotency.names("chat") == ()
    assert preset.idempotency.names("embeddings") == ("x-key", "y-key")
    assert preset.idempotency.names("completions") == ("idempotency-key",)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[keys]\nprefx = 1", "line 4: keys.prefx: unknown key; did you mean `prefix`?"),
        ('[keys]\nprefix = "Me-"', "line 4: keys.prefix: must be lower-case letters, digits and single underscores"),
        ('[keys]\nheaders = ["cookie"]', 'line 4: keys.headers[0]: expected "bearer" or "x-api-key", got "cookie"'),
        ("[keys]\nmost = 2", "plans.rows.free.keys: must be at most 2, as `keys.most` says"),
        ('surfaces = ["chat", "chats"]', 'line 3: surfaces[1]: expected "batches" or "chat" or'),
        ('[plans]\ndefault = "fre"', "line 4: plans.default: no plan is named `fre`; did you mean `free`?"),
        ("[plans.rows.free]\nprice_factor = -1", "plans.rows.free.price_factor: must be from 0 to 1000000"),
        ("[errors]\nstatuses = [400, 429]", "line 4: errors.statuses: must hold 400 and 500"),
        ("[errors.rows.RateLimitd]\nstatus = 400", "no class of error or code of that name; did you mean `RateLimited`?"),
        ("[errors.rows.RateLimited]\nstatus = 200", "errors.rows.RateLimited.status: must be at least 400, got 200"),
        ('[errors.rows.RateLimited]\nkeys = ["code"]', "errors.rows.RateLimited.keys: must hold `message`"),
        ('[errors]\nkeys = ["code"]', "errors.keys: must hold `message`"),
        ('[idempotency.headers]\nmodels = ["x"]', "idempotency.headers.models: no surface with such keys of that name"),
        ('[idempotency.headers]\nchat = ["X Key"]', "idempotency.headers.chat: must be names of headers in lower case"),
        ('[fields.models]\nx = "accept"', "fields.models: no surface with fields of that name"),
        ('[fields.chat]\nx = "refuse"', "fields.chat.x: expected"),
        ("[fields.chat]\nx = {}", "fields.chat.x: says nothing"),
        ("[fields.chat]\nx = []", "fields.chat.x: is an empty list"),
        ("[fields.chat]\nx = { one_of = [] }", "fields.chat.x.one_of: is an empty list"),
        ("[fields.chat]\nx = { reject = true, default = 1 }", "`reject` stands alone, not beside default"),
        ("[fields.chat]\nx = { range = {} }", "fields.chat.x.range: needs `min`, `max` or both"),
        ("[fields.chat]\nx = { range = { min = 2, max = 1 } }", "fields.chat.x.range: has a `min` above its `max`"),
        ('[fields.chat]\nx = { drop = true, when = { field = "y" } }', "needs one of `equals`, `differs` and `present`"),
        ('[fields.chat]\nx = { check = "no_input_audo" }', "no check is named `no_input_audo`; did you mean"),
        ('[fields.chat]\nx = { becomes = "y" }', "no rewrite is named `y`; known here: system_message"),
        ('[fields.chat]\n"*" = { max_len = 1 }', '"*": must be "accept", "reject" or "drop"'),
        ('[answers.usage]\nx = "drop"', "answers.usage: no surface with answers to rule over of that name"),
        ('[answers.chat]\n"a..b" = "drop"', "must be names joined by dots"),
        ('[answers.chat]\n"*.b" = "drop"', "must be names joined by dots"),
        ("[answers.chat]\nx = {}", "answers.chat.x: says nothing"),
        ('[answers.chat]\nx = { drop = true, rename = "y" }', "`drop` stands alone, not beside rename"),
        ('[answers.chat]\n"x.*" = "null"', 'must be "accept" or "drop"'),
        ('[answers.chat]\nx = "whole"', "only choices.delta.tool_calls can be gathered"),
        ("[keys", "not valid TOML"),
    ],
)  # fmt: skip
def test_mistake_is_told_with_its_place(text: str, line: str) -> None:
    """Each mistake names its key, its line where the file has it, and what would be right."""
    told = mistakes(text)
    assert any(line in each for each in told), told
    assert len(told) <= 2


@pytest.mark.parametrize("name", ["opn", "../open", ""])
def test_preset_is_refused_when_it_is_not_there(name: str) -> None:
    """Nothing but the names of the shelf is ever looked up."""
    with pytest.raises(ConfigError, match="no preset is named"):
        load(name)
    with pytest.raises(ConfigError, match="no preset is named"):
        parse("written", f'extends = "{name}"')


def test_file_is_refused_when_it_extends_nothing_and_is_not_whole() -> None:
    """Without a base every table is needed, and each one that lacks is named."""
    with pytest.raises(ConfigError) as caught:
        parse("written", "")
    assert "keys: is missing" in [str(each) for each in caught.value.problems]


@pytest.mark.parametrize("preset", ALL, ids=names())
def test_preset_reads_the_same_when_it_is_shown_and_parsed(preset: Preset) -> None:
    """What `show` prints is a whole preset."""
    text = page.text(preset.tree)
    tree = tomllib.loads(text)
    tree.pop("extends", None)
    bare = "\n".join(line for line in text.splitlines() if not line.startswith("extends"))
    again = parse(preset.name, bare)
    assert page.differences(preset, again) == (
        [] if preset.extends is None else [("extends", f'"{preset.extends}"', "")]
    )
    assert again.errors == preset.errors
    assert again.plans == preset.plans


def own(**texts: str) -> dict[str, dict[str, Any]]:
    """Presets of a configuration."""
    return {name: tomllib.loads(text, parse_float=Decimal) for name, text in texts.items()}


def test_preset_of_the_configuration_extends_others() -> None:
    """One that ships or one of its own, in any order; numbers stay exact."""
    mine = own(
        top='extends = "middle"\n[keys]\nmost = 30',
        middle='extends = "valar"\nabout = "Ours."\n[plans.rows.gold]\nmonthly_price = 19.99',
    )
    top = load("top", mine)
    assert (top.name, top.about, top.keys.prefix, top.keys.most) == ("top", "Ours.", "valar", 30)
    assert top.plans["gold"].monthly_price == 19_990_000_000_000
    assert top.fields == load("valar").fields
    assert load("valar", mine) is load("valar")
    assert set(load_all(["open", "top"], mine)) == {"open", "top"}


@pytest.mark.parametrize(
    ("texts", "line"),
    [
        ({"a": 'extends = "b"', "b": 'extends = "a"'}, "presets.a.extends: presets extend each other in a circle: a -> b -> a"),
        ({"a": 'extends = "a"'}, "presets.a.extends: presets extend each other in a circle: a -> a"),
        ({"a": 'extends = "valer"'}, "presets.a.extends: no preset is named `valer`; did you mean `valar`?"),
        ({"a": "extends = 5"}, "presets.a.extends: no preset is named `5`"),
        ({"a": 'extends = "valar"\n[fields.chat]\nn = "refuse"'}, "presets.a.fields.chat.n: expected"),
    ],
)  # fmt: skip
def test_mistake_in_the_configuration_is_told_with_its_place(texts: dict[str, str], line: str) -> None:
    """As a key of the whole file; one that nobody chose counts too."""
    with pytest.raises(ConfigError) as caught:
        load_all(["open"], own(**texts))
    assert any(str(each).startswith(line) for each in caught.value.problems), caught.value
    with pytest.raises(ConfigError, match=re.escape(line)):
        load("a", own(**texts))


def test_file_may_extend_the_preset_whose_name_it_bears() -> None:
    """A name is that of a file, and no circle."""
    assert parse("aurora", 'extends = "aurora"\n[keys]\nmost = 5').keys.most == 5


def test_differences_name_each_key_once() -> None:
    """Tables are compared key by key, rules as a whole."""
    assert page.differences(load("aurora"), load("aurora-v2"))[-1] == (
        "fields.chat.stream",
        '{ one_of = [false], note = "Streams come with version 2." }',
        '"accept"',
    )
