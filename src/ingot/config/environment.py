"""`INGOT_*` variables and command-line options, as values of the keys that they stand for.

Each key of `[server]` is `INGOT_<KEY>`, of another section such as `[engine]` `INGOT_ENGINE_<KEY>`: the list is
derived from the records. An empty variable counts as one that is not set.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect

from ingot.config.batches import BatchesConfig
from ingot.config.clientfiles import FilesConfig
from ingot.config.images import ImagesConfig
from ingot.config.model import EngineConfig, LimitsConfig
from ingot.config.platform import AccountsConfig, LimiterConfig, MailConfig, StoreConfig, WorkerConfig
from ingot.config.problems import Problem
from ingot.config.server import ServerConfig
from ingot.config.shape import expected, suggestion, unwrapped
from ingot.config.webhooks import WebhooksConfig

PREFIX: Final = "INGOT_"
SECTIONS: Final[dict[str, tuple[str, type[msgspec.Struct]]]] = {
    "server": (PREFIX, ServerConfig),
    "engine": (f"{PREFIX}ENGINE_", EngineConfig),
    "limits": (f"{PREFIX}LIMITS_", LimitsConfig),
    "images": (f"{PREFIX}IMAGES_", ImagesConfig),
    "store": (f"{PREFIX}STORE_", StoreConfig),
    "files": (f"{PREFIX}FILES_", FilesConfig),
    "batches": (f"{PREFIX}BATCHES_", BatchesConfig),
    "worker": (f"{PREFIX}WORKER_", WorkerConfig),
    "limiter": (f"{PREFIX}LIMITER_", LimiterConfig),
    "accounts": (f"{PREFIX}ACCOUNTS_", AccountsConfig),
    "mail": (f"{PREFIX}MAIL_", MailConfig),
    "webhooks": (f"{PREFIX}WEBHOOKS_", WebhooksConfig),
}
# Read elsewhere: which file to load, the first key, the keys of our own command line.
OTHERS: Final = frozenset(
    {
        "INGOT_API_KEY",
        "INGOT_BOOTSTRAP_KEY",
        "INGOT_CONFIG",
        "INGOT_EMPTY_KEY",
        "INGOT_FREE_KEY",
        "INGOT_NARROW_KEY",
        "INGOT_OFFLINE",
        "INGOT_OTHER_KEY",
    }
)
DEFAULT_FILE: Final = "ingot.toml"

BOOLEANS: Final = {"true": True, "1": True, "yes": True, "on": True}
BOOLEANS.update({"false": False, "0": False, "no": False, "off": False})

Values = dict[tuple[str, str], Any]
Origins = dict[tuple[str, str], str]


def variables() -> dict[str, tuple[str, str, inspect.Type]]:
    """Each variable with the section, the key and the type that it stands for."""
    found = {}
    for section, (prefix, cls) in SECTIONS.items():
        for each in inspect.type_info(cls).fields:  # type: ignore[attr-defined]  # a Struct's info has fields
            found[prefix + each.encode_name.upper()] = (section, each.encode_name, each.type)
    return found


def config_file(option: Path | None, environ: Mapping[str, str], directory: Path) -> Path | None:
    """The file to load: the option, else INGOT_CONFIG, else ingot.toml in `directory` if it is there."""
    if option is not None:
        return option
    if environ.get("INGOT_CONFIG"):
        return Path(environ["INGOT_CONFIG"])
    default = directory / DEFAULT_FILE
    return default if default.is_file() else None


def environment_warnings(environ: Mapping[str, str]) -> list[str]:
    """A line for each INGOT_* variable that nothing reads."""
    known = {*variables(), *OTHERS}
    strange = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    return [f"{name} is set, but no such option exists{suggestion(name, known)}" for name in strange]


def environment_values(environ: Mapping[str, str], problems: list[Problem]) -> tuple[Values, Origins]:
    """What the variables say, and the name of the variable that said it."""
    values: Values = {}
    origins: Origins = {}
    for name, (section, key, kind) in variables().items():
        text = environ.get(name, "")
        if not text:
            continue
        try:
            values[section, key] = _value(text, kind)
        except ValueError:
            problems.append(Problem(name, f"expected {expected(kind)}, got text"))
        origins[section, key] = name
    return values, origins


def option_values(options: Mapping[str, object | None]) -> tuple[Values, Origins]:
    """Options of the command line, by dotted key (`server.port`); those that are None were not given."""
    values: Values = {}
    origins: Origins = {}
    for dotted_key, value in options.items():
        section, _, key = dotted_key.partition(".")
        if value is not None:
            values[section, key] = str(value) if isinstance(value, Path) else value
            name = key if section == "server" else f"{section}_{key}"
            origins[section, key] = f"--{name.replace('_', '-')}"
    return values, origins


def _value(text: str, kind: inspect.Type) -> Any:
    """The text of a variable as the TOML value that its key expects; ValueError if it is none."""
    kind, _ = unwrapped(kind)
    if isinstance(kind, inspect.UnionType):
        kind = unwrapped(next(each for each in kind.types if not isinstance(each, inspect.NoneType)))[0]
    if isinstance(kind, inspect.BoolType):
        if text.lower() not in BOOLEANS:
            raise ValueError(text)
        return BOOLEANS[text.lower()]
    if isinstance(kind, inspect.IntType):
        return int(text)
    if isinstance(kind, inspect.FloatType):
        try:
            return Decimal(text)
        except InvalidOperation:
            raise ValueError(text) from None
    if isinstance(kind, inspect.ListType):
        return [_value(part.strip(), kind.item_type) for part in text.split(",") if part.strip()]
    return text
