"""What the records say about themselves: the JSON Schema, the reference page, a first file to edit.

Decides how they look. Refuses to know a single key: a key that is added to the records appears here by itself.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import inspect

from ingot.config.document import toml
from ingot.config.environment import SECTIONS
from ingot.config.extras import CardConfig
from ingot.config.model import (
    BreakerConfig,
    Config,
    ModelConfig,
    QuirksConfig,
    RouteConfig,
    TargetConfig,
    TimeoutsConfig,
)
from ingot.config.prices import PriceConfig, RatesConfig
from ingot.config.shape import expected, unwrapped
from ingot.config.windows import WindowConfig

SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

HEADINGS: Final[tuple[tuple[str, type[msgspec.Struct]], ...]] = (
    *((f"[{name}]", cls) for name, (_, cls) in SECTIONS.items()),
    ("[targets.NAME]", TargetConfig),
    ("[targets.NAME.quirks]", QuirksConfig),
    ("[targets.NAME.timeouts]", TimeoutsConfig),
    ("[targets.NAME.breaker]", BreakerConfig),
    ("[models.NAME]", ModelConfig),
    ("[models.NAME.card]", CardConfig),
    ("targets = [{ ... }]", RouteConfig),
    ("price = { ... }", PriceConfig),
    ("price.windows.WINDOW = { ... }", RatesConfig),
    ("[windows.NAME]", WindowConfig),
)

INTRODUCTION: Final = """\
# Configuration

<!-- Written by `ingot config reference`; edit the records in src/ingot/config/model.py instead. -->

Ingot reads one TOML file: the one named by `--config`, else by `INGOT_CONFIG`, else `ingot.toml` in the
working directory if there is one. Without a file it serves the embedded models.

A key of `[server]`, `[engine]`, `[limits]`, `[images]`, `[store]`, `[files]`, `[worker]`, `[limiter]`, `[accounts]`, `[mail]` or `[webhooks]` is
taken from the first of these that has it:

1. the option of the command line, such as `--port`,
2. the environment variable in its table below (an empty one counts as not set; lists are separated by commas),
3. the file,
4. the default.

`${VAR}` in a string stands for an environment variable, which must be set; `${VAR:-default}` has a default,
used if the variable is not set or empty; `$${` is a literal `${`. Credentials are best kept out of the file:
`api_key = "${OPENAI_API_KEY}"`, or `api_key = "file:/run/secrets/openai"`, a file that other users cannot read.

An unknown key, a wrong type or a value out of range is an error. `ingot config check` lists all of them,
`ingot config show` prints what counts in the end, `ingot config schema` prints a JSON Schema for editors, and
`ingot config init` writes a first file. On SIGHUP `[targets]`, `[models]`, constitutions included, and `[windows]` are read again and replaced
together, or not at all if anything is wrong; the rest needs a restart.
"""

PRESETS: Final = """
## `[presets.NAME]`

A preset of your own, in the keys of a [preset's file](presets.md#keys-of-a-presets-file), without a file. With `extends` it needs only
what differs. `server.preset` or `[hosts]` choose it; `ingot presets show NAME` prints it with all that it extends. Changes need a restart.

## `[hosts]`

Presets of single host names, as `"api.example.org" = "valar"`: a request whose Host header has that name, with any port or none, meets
that preset; every other one meets `server.preset`. Such a host need not be listed in `server.allowed_hosts`. What keys begin with, how
many an account has, and the plans are `server.preset`'s for all. Changes need a restart.
"""

EXAMPLE: Final = """\
# A server that speaks the OpenAI API. Any number of them.
#[targets.openai]
#base_url = "https://api.openai.com/v1"
#api_key = "${OPENAI_API_KEY}"
#dialects = ["chat", "embeddings", "completions"]
#capacity = 64
#timeouts = { connect = 5, first_byte = 600, idle = 120 }

#[targets.vllm]
#base_url = "http://127.0.0.1:8000/v1"
#health = "/health"
#quirks = { rename = { max_completion_tokens = "max_tokens" }, drop = ["store"], reject = ["logit_bias"] }

# What clients ask for, where it goes, and what it costs in USD per 1M tokens. Free is written as free.
#[models.fast]
#targets = [{ target = "openai", model = "gpt-5-mini" }]
#context = 400000
#price = { input = 0.15, cached_input = 0.03, output = 0.60 }

#[models."zai-org/GLM-5.1"]
#targets = ["vllm", { target = "openai", model = "gpt-5" }]
#strategy = "ordered"
#price = "free"

# Rules that differ from a preset that ships; server.preset or a host name chooses them.
#[presets.ours]
#extends = "valar"
#fields = { chat = { stop = "accept" } }

#[hosts]
#"chat.example.org" = "ours"
"""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a configuration file."""
    schema = _as_toml(msgspec.json.schema(Config))
    return {"$schema": SCHEMA_DIALECT, "title": "ingot.toml", **schema}


def template() -> str:
    """A first file: every key of the process with its default, and examples, all commented out."""
    lines = ["# Configuration of Ingot. A line that begins with # and a letter is a setting: remove the #."]
    for section, (_, cls) in SECTIONS.items():
        lines += ["", f"# {_sentence(cls, cut=True)}", f"[{section}]"]
        for each in _keys(cls):
            lines += [f"# {each.meaning}", f"#{each.name} = {each.default or each.example}"]
    return "\n".join(lines) + "\n\n" + EXAMPLE


def page() -> str:
    """The reference page, in Markdown."""
    return INTRODUCTION + "".join(_table(heading, cls) for heading, cls in HEADINGS) + PRESETS


def _table(heading: str, cls: type[msgspec.Struct]) -> str:
    prefix = next((prefix for prefix, known in SECTIONS.values() if known is cls), None)
    variable = " | variable" if prefix else ""
    rows = [
        f"\n## `{heading}`\n",
        f"{_sentence(cls, cut=heading.startswith('['))}\n",
        f"| key{variable} | type | default | meaning |",
        f"|---{'|---' if prefix else ''}|---|---|---|",
    ]
    for each in _keys(cls):
        name = f"`{each.name}`" + (f" | `{prefix}{each.name.upper()}`" if prefix else "")
        rows.append(f"| {name} | {each.kind} | {each.default_cell} | {each.meaning} |")
    return "\n".join(rows) + "\n"


class Key(msgspec.Struct, frozen=True):
    """A key of a record, in words; `example` stands in where there is no default to show."""

    name: str
    kind: str
    default: str
    meaning: str
    required: bool
    nested: bool
    example: str

    @property
    def default_cell(self) -> str:
        if self.required:
            return "**required**"
        return f"`{self.default}`" if self.default else "see below" if self.nested else "unset"


def _keys(cls: type[msgspec.Struct]) -> Iterator[Key]:
    for each in msgspec.structs.fields(cls):
        described = inspect.type_info(each.type)
        kind, extra = unwrapped(described)
        default = each.default
        if each.default_factory is not msgspec.NODEFAULT:
            default = each.default_factory()
        nested = isinstance(default, msgspec.Struct)
        shown = not (nested or default is None or default is msgspec.NODEFAULT)
        schema = described.extra_json_schema if isinstance(described, inspect.Metadata) else None
        unit = extra.get("unit")
        yield Key(
            name=each.encode_name,
            kind=expected(kind) + _range(kind),
            default=toml(default) if shown else "",
            meaning=(schema or {}).get("description", "") + (f" In {unit}." if unit else ""),
            required=each.required,
            nested=nested,
            example=extra.get("example", ""),
        )


def _range(kind: inspect.Type) -> str:
    """`, 1 to 65535` for a number with bounds."""
    if isinstance(kind, inspect.UnionType):
        return "".join(_range(unwrapped(each)[0]) for each in kind.types)
    if not isinstance(kind, inspect.IntType | inspect.FloatType) or kind.le is None:
        return ""
    least = f"{kind.ge:.15g}" if kind.ge is not None else f"above {kind.gt:.15g}"
    return f", {least} to {kind.le:.15g}"


def _sentence(cls: type[msgspec.Struct], *, cut: bool) -> str:
    """The docstring of a record, without the name of its table if that stands in the heading."""
    text = (cls.__doc__ or "").strip()
    if cut:
        text = text.partition(": ")[2]
    return text[:1].upper() + text[1:]


def _as_toml(schema: Any) -> Any:
    """The schema of what TOML can say: it has no null, and a decimal is a plain number there."""
    if isinstance(schema, list):
        return [_as_toml(each) for each in schema if each != {"type": "null"}]
    if not isinstance(schema, dict):
        return schema
    found = {key: _as_toml(each) for key, each in schema.items() if not (key == "default" and each is None)}
    if found.get("format") == "decimal":
        del found["format"]
        found["type"] = "number"
    alternatives = found.get("anyOf")
    if isinstance(alternatives, list) and len(alternatives) == 1:
        del found["anyOf"]
        found = {**alternatives[0], **found}
    return found
