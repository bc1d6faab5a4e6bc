"""What a configuration file may say, and what is said about one that is wrong."""

import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.config import Config, ConfigError, Problem, load
from ingot.config.document import document, toml
from ingot.config.prices import PRICE_HELP
from ingot.config.problems import dotted

RELAY = """
[targets.mock]
base_url = "http://127.0.0.1:9900/v1"
dialects = ["chat"]

[models.mock]
targets = ["mock"]
price = "free"
"""


def complaints(text: str) -> str:
    """The message of the error that the text causes."""
    with pytest.raises(ConfigError) as caught:
        load(text, {})
    return str(caught.value)


def problems_of(text: str) -> tuple[Problem, ...]:
    """The problems of a text that may have none."""
    try:
        load(text, {"A": "b"})
    except ConfigError as error:
        return error.problems
    return ()


def with_target(line: str) -> str:
    return f'[targets.a]\nbase_url = "https://example.org/v1"\n{line}\n'


def with_model(lines: str) -> str:
    return f'[targets.a]\nbase_url = "https://example.org/v1"\n[models.m]\n{lines}\n'


def test_load_when_empty() -> None:
    """An empty file is the defaults: loopback, port 5150, the embedded demo model."""
    config = load("", {})
    assert config == Config()
    assert (config.server.host, config.server.port, config.engine.demo) == ("127.0.0.1", 5150, True)


def test_load_when_minimal_relay() -> None:
    """A target, a model and a price are enough for a relay."""
    config = load(RELAY, {})
    assert config.targets["mock"].base_url == "http://127.0.0.1:9900/v1"
    assert config.models["mock"].routes()[0].target == "mock"
    assert config.models["mock"].strategy == "ordered"
    assert config.models["mock"].windows == ["asap"]


def test_load_when_everything_is_said() -> None:
    """Every kind of table is read; whole numbers serve as times; the last slash of an address goes."""
    config = load(
        """
        [targets.a]
        base_url = "https://example.org/v1/"
        timeouts = { connect = 2, idle = 0.5 }
        headers = { "x-team" = "blue" }
        quirks = { rename = { max_completion_tokens = "max_tokens" }, set = { a = [1, { b = 0.5 }] } }
        [models."org/name:q4"]
        targets = [{ target = "a", model = "name", weight = 3 }, "engine:demo-tiny"]
        price = { input = 0.15, cached_input = 0.03, output = 1 }
        windows = ["asap", "flex"]
        """,
        {},
    )
    target, model = config.targets["a"], config.models["org/name:q4"]
    assert target.base_url == "https://example.org/v1"
    assert (target.timeouts.connect, target.timeouts.idle, target.timeouts.first_byte) == (2.0, 0.5, 600.0)
    assert target.quirks.set == {"a": [1, {"b": 0.5}]}
    assert [(each.target, each.model, each.weight) for each in model.routes()] == [
        ("a", "name", 3),
        ("engine:demo-tiny", None, None),
    ]
    assert model.strategy == "weighted"


def test_load_when_written_out_again() -> None:
    """A configuration survives being printed as TOML and read again, `${` and quotes included."""
    config = load(
        RELAY + '[targets.b]\nbase_url = "https://b"\nheaders = { x = \'a "$${B}\' }\n'
        '[models."a/b"]\ntargets = [{ target = "b", weight = 2 }]\nprice = { input = 0.000001, output = 12.5 }\n'
        '[presets.ours]\nextends = "valar"\nplans = { rows = { gold = { monthly_price = 0.000000000001 } } }\n'
        '[hosts]\n"a.example.org" = "ours"\n',
        {},
    )
    assert load(document(config), {}) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('deprecated = "1.11.2026"', 'models.m.deprecated: must be a day, as "2026-11-01"'),
        ('deprecated = "2026-02-30"', "models.m.deprecated: must be a day"),
        ('deprecated = "20261101"', "models.m.deprecated: must be a day"),
        ('deprecated = "2026-11-01"\nshutdown_date = "soon"', "models.m.shutdown_date: must be a day"),
        ('shutdown_date = "2027-05-01"', "models.m.shutdown_date: needs `deprecated`"),
        (
            'deprecated = "2026-11-01"\nshutdown_date = "2026-11-01"',
            "models.m.shutdown_date: must be after `deprecated`",
        ),
    ],
)
def test_load_when_the_end_of_a_model_is_wrong(text: str, message: str) -> None:
    """Days that there are, in their order."""
    told = complaints(
        f'[targets.a]\nbase_url = "https://a"\n[models.m]\ntargets = ["a"]\nprice = "free"\n{text}\n'
    )
    assert message in told


def test_load_when_many_things_are_wrong() -> None:
    """All problems are reported at once, each with its line, its path and the nearest known name."""
    text = """\
[server]
prot = 1
host = 4
[targets.local]
base_url = "http://127.0.0.1/v1"
capacity = 0
timeouts = { conect = 1 }
[models."x/y"]
targets = ["locale"]
price = "fre"
[models.z]
targets = [{ target = "local", weight = 0 }]
"""
    assert complaints(text).split("\n") == [
        "line 2: server.prot: unknown key; did you mean `port`?",
        "line 3: server.host: expected text, got a whole number",
        "line 6: targets.local.capacity: must be at least 1, got 0",
        "line 7: targets.local.timeouts.conect: unknown key; did you mean `connect`?",
        'line 9: models."x/y".targets[0]: no [targets] table is named "locale"; did you mean `local`?',
        f'line 10: models."x/y".price: expected "free", got "fre"; did you mean `free`?: {PRICE_HELP}',
        f"line 11: models.z.price: is missing: {PRICE_HELP}",
        "line 12: models.z.targets[0].weight: must be at least 1, got 0",
    ]


def test_error_when_first_problem_is_asked_for() -> None:
    """The error carries its problems as records, and the path of the first."""
    with pytest.raises(ConfigError) as caught:
        load("[server]\nport = 1\nport_ = 2\n", {})
    assert caught.value.path == "server.port_"
    assert [(each.where, each.line) for each in caught.value.problems] == [("server.port_", 3)]


def test_line_when_value_spans_lines() -> None:
    """Lines are counted through multi-line strings that look like TOML themselves."""
    text = '[targets.a]\nbase_url = "https://a"\n[targets.a.quirks.set]\nx = """\nport = 1\n[server]\n"""\n'
    assert complaints(f"{text}y = 1979-05-27\n").startswith("line 8: targets.a.quirks.set.y: a date or time")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server", "line 1: not valid TOML: "),
        ("a = 1\na = 2", "line 2: not valid TOML: Cannot overwrite a value"),
        ("\nx = " + "[" * 3000, "not valid TOML: "),
        ("x = " + "9" * 5000, "not valid TOML: "),
        ("x = 1e99999999999999999999", "not valid TOML: "),
        ("[server]\nport = " + "9" * 4000, "must be at most 65535, got a huge number"),
        ("[server]\nport = true", "server.port: expected a whole number, got true or false"),
        ("[server]\nport = 1.0", "server.port: expected a whole number, got a number"),
        ("[server]\nmetrics = 1", "server.metrics: expected true or false, got a whole number"),
        ("[server]\ndrain_seconds = nan", "must be at least 0, got NaN"),
        ("[server]\nallowed_hosts = ['']", "server.allowed_hosts[0]: is empty"),
        ("[server]\nallowed_hosts = 'a'", "expected a list of text, got text"),
        ("[server]\nlog_level = 'warn'", "did you mean `warning`?"),
        ("server = 1", "server: expected a table, got a whole number"),
        ("targets = []", "targets: expected a table, got a list"),
        ("[models.m.price]", "models.m.targets: is missing: name at least one target"),
        ("[targets.a]", "targets.a.base_url: is missing: give the address"),
        ('[targets."a b"]\nbase_url = "https://a"', 'targets."a b": a target\'s name is'),
        ('[targets."engine:x"]\nbase_url = "https://a"', "a target's name is"),
        (".".join("a" * 5000) + " = 1", "a: unknown key"),
        (
            '[targets.a]\nbase_url = "https://a"\n[targets.a.quirks.set]\n' + ".".join("x" * 50) + "=1",
            "cannot hold",
        ),
    ],
)
def test_load_when_value_is_wrong(text: str, message: str) -> None:
    """Broken TOML, wrong types and wrong ranges are refused with what was expected."""
    assert message in complaints(text)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("dialects = ['chta']", "did you mean `chat`?"),
        ("dialects = []", "targets.a.dialects: is an empty list"),
        ("dialects = ['chat', 'chat']", 'names "chat" twice'),
        ("timeouts = { connect = 0 }", "timeouts.connect: must be more than 0, got 0"),
        ("timeouts = { connect = -1.5 }", "timeouts.connect: must be more than 0, got -1.5"),
        ("breaker = { failures = 0 }", "breaker.failures: must be at least 1"),
        ("health = 'health'", 'must be a path that begins with "/"'),
        ("health = '/a b'", 'must be a path that begins with "/"'),
        ("api_key = ''", "targets.a.api_key: is empty"),
        ("api_key = 'kéy'", "holds a character that a header cannot carry"),
        ('api_key = "k\\r\\nx: y"', "targets.a.api_key: holds a line break"),
        ("api_key = 'k'\napi_key_file = 'f'", "is given besides api_key"),
        ("headers = { 'x y' = 'a' }", "is not a header name"),
        ('headers = { x = "a\\nb" }', "targets.a.headers.x: holds a line break"),
        ('headers = { "x\\ny" = "b" }', "is empty or holds an unprintable character"),
        ("headers = { Host = 'b' }", "is set by Ingot itself"),
        ("headers = { x = 'b', X = 'c' }", "is given twice"),
        ("api_key = 'k'\nheaders = { Authorization = 'b' }", "is given besides api_key"),
        (
            "quirks = { set = { model = 'x' } }",
            "model cannot be renamed, dropped or set: name the target's own",
        ),
        ("quirks = { drop = ['stream_options'] }", "use no_stream_options = true"),
        ("quirks = { drop = [''] }", "names an empty field"),
        ("quirks = { drop = ['a'], reject = ['a'] }", "a is treated twice"),
        ("quirks = { rename = { a = 'c', b = 'c' } }", "gives two fields the name c"),
        ("quirks = { usage = 'a..b' }", "must be names joined by dots"),
        ("quirks = { set = { a = inf } }", "a number that JSON cannot hold"),
        ("quirks = { set = { a = 2020-01-01 } }", "a date or time that JSON cannot hold"),
    ],
)
def test_load_when_target_is_wrong(line: str, message: str) -> None:
    """A target that could not work, or that could smuggle a header, is refused."""
    assert message in complaints(with_target(line))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("price = 'free'", "models.m.targets: is missing: name at least one target"),
        ("targets = []\nprice = 'free'", "models.m.targets: is an empty list: name at least one target"),
        ("targets = ['b']\nprice = 'free'", 'no [targets] table is named "b"; known here: a'),
        ("targets = ['engine:']\nprice = 'free'", "name the embedded model"),
        ("targets = ['a', 'a']\nprice = 'free'", 'names "a" with model "m" twice'),
        (
            "targets = [{ target = 'a', weight = 1 }]\nstrategy = 'ordered'\nprice = 'free'",
            "weights need strategy",
        ),
        ("targets = ['a']\nprice = 'free'\nattempts = 11", "must be at most 10, got 11"),
        ("targets = ['a']\nprice = 'free'\nwindows = ['flex', 'flex']", 'names "flex" twice'),
        ("targets = ['a']\nprice = 'free'\ncontext = 0", "must be at least 1"),
        ("targets = ['a']", 'models.m.price: is missing: write price = "free"'),
        (
            "targets = ['a']\nprice = 0",
            'expected "free" or a table, got a whole number: write price = "free"',
        ),
        ("targets = ['a']\nprice = { input = 1 }", "models.m.price.output: is missing"),
        ("targets = ['a']\nprice = { input = -0.1, output = 1 }", "price.input: is negative"),
        ("targets = ['a']\nprice = { input = nan, output = 1 }", "price.input: is not a number"),
        ("targets = ['a']\nprice = { input = inf, output = 1 }", "price.input: is not a number"),
        ("targets = ['a']\nprice = { input = 10001, output = 1 }", "is more than 10000 USD per 1M tokens"),
        ("targets = ['a']\nprice = { input = 1e999999, output = 1 }", "is more than 10000 USD per 1M tokens"),
        ("targets = ['a']\nprice = { input = 0.0000001, output = 1 }", "has more than 6 decimals"),
        ("targets = ['a']\nprice = { input = 1e-999999, output = 1 }", "has more than 6 decimals"),
    ],
)
def test_load_when_model_is_wrong(lines: str, message: str) -> None:
    """A model without targets or price, or with a price that cannot be billed, is refused."""
    assert message in complaints(with_model(lines))


@pytest.mark.parametrize("name", ["", "a b", "ä", "/x", "a" * 201, 'a"b'])
def test_load_when_model_name_is_wrong(name: str) -> None:
    """A model's name must fit into a URL and a log line."""
    text = RELAY + f'[models.{toml(name)}]\ntargets = ["mock"]\nprice = "free"\n'
    assert "name is" in complaints(text) or "is empty" in complaints(text)


def test_repr_when_target_has_secrets() -> None:
    """A record that lands in a log shows neither credential nor header values."""
    config = load(with_target("api_key = 'geheim'\nheaders = { x = 'geheim' }"), {})
    assert "geheim" not in repr(config)


KEYS = st.sampled_from(
    [
        *(
            "server",
            "engine",
            "limits",
            "targets",
            "models",
            "base_url",
            "price",
            "input",
            "output",
            "weight",
        ),
        *(
            "target",
            "model",
            "port",
            "host",
            "quirks",
            "set",
            "timeouts",
            "connect",
            "headers",
            "api_key",
            "mock",
        ),
    ]
) | st.text(string.printable, max_size=4)
LEAVES = (
    st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False, places=9)
    | st.sampled_from(
        ["free", "mock", "engine:x", "http://h/v1", "https://h", "${A}", "${", "a\nb", "chat", "\x7f"]
    )
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)
)


@settings(deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=4))
def test_load_when_anything_is_said(tree: dict[str, Any]) -> None:
    """Whatever a file says, it is a configuration or an error with a text and a place for each problem."""
    text = "".join(f"{dotted((key,))} = {toml(value)}\n" for key, value in tree.items())
    problems = problems_of(text)
    assert all(each.message and each.where for each in problems)


@settings(deadline=None)
@given(st.text())
def test_load_when_text_is_anything(text: str) -> None:
    """Whatever the text, nothing but a ConfigError comes out."""
    assert all(each.message for each in problems_of(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[images]\nnetworks = ["10.0.0.1/8"]',
            "images.networks[0]: is not a network (10.0.0.1/8 has host bits set)",
        ),
        ('[images]\nnetworks = ["fd00::/8", "lan"]', "images.networks[1]: is not a network"),
        ("[images]\nports = []", "images.ports: is an empty list"),
        ("[images]\nports = [0]", "images.ports[0]: must be at least 1"),
        (with_target('images = "see"'), 'targets.a.images: expected "fetch" or "refuse" or "relay"'),
        (
            with_target('images = "fetch"\nquirks = { reject = ["image_url"] }'),
            'targets.a.images: is "fetch", and quirks.reject names image_url; keep one of them',
        ),
    ],
)
def test_load_when_images_are_handled_wrongly(text: str, message: str) -> None:
    """A network that is none, a port that does not exist, two words on the same matter."""
    assert message in complaints(text)
