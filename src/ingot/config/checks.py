"""What keys mean together: names that must exist, values that exclude each other, prices that can be billed.

Refuses to know how the values were read, and leaves every value as it found it.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator
from decimal import Decimal
from typing import Final, TypeVar

from ingot.config.address import base_url_problem, is_loopback, is_own_network, network_problem
from ingot.config.days import first_second
from ingot.config.model import ENGINE_PREFIX, Config, ModelConfig, QuirksConfig, TargetConfig
from ingot.config.prices import RatesConfig
from ingot.config.problems import Path, Problem, problem
from ingot.config.server import PRESETS
from ingot.config.shape import clipped, nearest
from ingot.config.windows import SHIPPED_WINDOWS

T = TypeVar("T", bound=Hashable)

DEAREST: Final = Decimal(10_000)  # USD per 1M tokens: a cent a token; the dearest public model costs 600
SMALLEST: Final = Decimal("0.000001")  # USD per 1M tokens: 1e-12 USD a token, the unit of the ledger

TARGET_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MODEL_NAME: Final = re.compile(r"[A-Za-z0-9@_][A-Za-z0-9@._:/+~-]{0,199}")
HOST_PATTERN: Final = re.compile(r"\*|(\*\.)?[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
HOST_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\]")
WINDOW_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
PRESET_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,63}")
HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
MARK_LENGTHS: Final = range(2, 41)
# Set by the client that talks to targets; a second one would contradict it.
OWN_HEADERS: Final = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "content-type",
        "accept-encoding",
        "upgrade",
        "te",
    }
)
# Fields that the relay itself depends on, and the key that changes them instead.
OWN_FIELDS: Final = {
    "model": 'name the target\'s own model in the route: targets = [{ target = "...", model = "..." }]',
    "stream": "the client decides whether the answer is streamed",
    "stream_options": "use no_stream_options = true",
}


def check(config: Config, target_names: Iterable[str]) -> list[Problem]:
    """The problems between keys; `target_names` holds broken targets too, so that they are not missed twice."""
    known = set(target_names) | set(config.targets)
    found = [
        problem(("server", "allowed_hosts", index), "must be a host name without scheme and port")
        for index, host in enumerate(config.server.allowed_hosts)
        if not HOST_PATTERN.fullmatch(host)
    ]
    for index, network in enumerate(config.server.trusted_proxies):
        message = network_problem(network)
        if message:
            found.append(problem(("server", "trusted_proxies", index), f"{clipped(network)} {message}"))
    if not re.match(r"(postgresql|postgres)://|file:.|$", config.server.database):
        found.append(
            problem(("server", "database"), "must be postgresql://USER:PASSWORD@HOST/NAME, or empty")
        )
    for section, networks in (("images", config.images.networks), ("webhooks", config.webhooks.networks)):
        for index, network in enumerate(networks):
            message = cidr_problem(network)
            if message:
                found.append(problem((section, "networks", index), message))
    for name, target in config.targets.items():
        found += [problem(("targets", name, *path), text) for path, text in _target(name, target)]
    for name, model in config.models.items():
        problems = _model(name, model, known, {*SHIPPED_WINDOWS, *config.windows})
        found += [problem(("models", name, *path), text) for path, text in problems]
    if not config.store.records:
        found += [
            problem(
                ("models", name, "price"),
                'must be "free", as records = false in [store] keeps no ledger rows',
            )
            for name, model in config.models.items()
            if not isinstance(model.price, str)
        ]
    return found + [
        problem(path, text) for path, text in (*_people(config), *_presets(config), *_windows(config))
    ]


def bind_problem(config: Config) -> str | None:
    """Why the server may not listen where it is told to: others could reach it, and nobody said they may."""
    host = config.server.host
    if config.server.allow_public or is_loopback(host):
        return None
    return (
        f"{host} can be reached from other machines. Say --allow-public (allow_public = true in [server], "
        "INGOT_ALLOW_PUBLIC=true) if that is meant, and put a proxy with TLS in front; "
        "or listen on 127.0.0.1."
    )


def price_problem(amount: Decimal) -> str | None:
    """Why an amount in USD per 1M tokens cannot be billed exactly."""
    if not amount.is_finite():
        return "is not a number"
    if amount.is_signed() and amount != 0:
        return "is negative; a price is 0 or more"
    if amount > DEAREST:
        return f"is more than {DEAREST} USD per 1M tokens; prices are given per million tokens"
    if amount != amount.quantize(SMALLEST):
        return "has more than 6 decimals; the smallest price is 0.000001 USD per 1M tokens"
    return None


def _target(name: str, target: TargetConfig) -> Iterator[tuple[Path, str]]:
    if not TARGET_NAME.fullmatch(name):
        yield (), "a target's name is 1 to 64 letters, digits and . _ -"
    message = base_url_problem(target.base_url, allow_plaintext=target.allow_plaintext)
    if message:
        yield ("base_url",), message
    if target.api_key is not None and target.api_key_file is not None:
        yield ("api_key_file",), "is given besides api_key; keep one of them"
    if target.api_key is not None:
        message = secret_problem(target.api_key)
        if message:
            yield ("api_key",), message
    if target.health is not None and not re.fullmatch(r"/[!-~]*", target.health):
        yield ("health",), 'must be a path that begins with "/", as "/health"'
    if "image_url" in target.quirks.reject and target.images in {"relay", "fetch"}:
        yield ("images",), f'is "{target.images}", and quirks.reject names image_url; keep one of them'
    for dialect in repeated(target.dialects):
        yield ("dialects",), f'names "{dialect}" twice'
    yield from _headers(target)
    yield from _quirks(target.quirks)


def cidr_problem(text: str) -> str | None:
    """Why a text is no network in CIDR notation."""
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        hint = "clear them" if "host bits" in str(error) else 'write it as "10.20.0.0/16"'
        return f"is not a network ({error}); {hint}"
    return None


def secret_problem(value: str) -> str | None:
    """Why a credential cannot be sent in a header; the text never shows it."""
    if not value:
        return "is empty; leave it out if the target needs no credential"
    if not value.isascii() or not value.isprintable():
        return "holds a character that a header cannot carry"
    return "begins or ends with a space" if value != value.strip() else None


def _people(config: Config) -> Iterator[tuple[Path, str]]:
    """What accounts and their mail need."""
    message = base_url_problem(config.accounts.url, allow_plaintext=True)
    if message:
        yield ("accounts", "url"), message
    mail = config.mail
    if mail.sender == "resend":
        message = base_url_problem(mail.resend_url, allow_plaintext=False)
        if message:
            yield ("mail", "resend_url"), message
        if not mail.resend_api_key:
            yield ("mail", "resend_api_key"), 'is missing: sender = "resend" needs it'
    if mail.smtp_user and not mail.smtp_password:
        yield ("mail", "smtp_password"), "is missing: smtp_user signs in with it"
    if mail.smtp_password and mail.smtp_tls == "none" and not is_own_network(mail.smtp_host):
        yield ("mail", "smtp_tls"), f"sends the password unprotected to {mail.smtp_host}: use starttls or tls"


def _windows(config: Config) -> Iterator[tuple[Path, str]]:
    """What a completion window needs beside what ships."""
    for name, window in config.windows.items():
        if not WINDOW_NAME.fullmatch(name):
            yield (
                ("windows", name),
                "a window's name is 1 to 32 lower-case letters, digits and _ -, a letter first",
            )
        if window.seconds is None and name not in SHIPPED_WINDOWS:
            yield ("windows", name, "seconds"), "is missing: say how many seconds an answer may take"
        if window.seconds is not None and window.margin is not None and window.margin > window.seconds:
            yield ("windows", name, "margin"), "is longer than the window itself"


def _presets(config: Config) -> Iterator[tuple[Path, str]]:
    """Names of presets, and of the hosts that have one; what stands in a preset is checked where presets are read."""
    for name in config.presets:
        if name in PRESETS:
            yield ("presets", name), 'is the name of one that ships; choose another and say extends = "NAME"'
        elif not PRESET_NAME.fullmatch(name):
            yield (
                ("presets", name),
                "a preset's name is 1 to 64 lower-case letters, digits and -, a letter first",
            )
    known = {*PRESETS, *config.presets}
    for path, name in (
        (("server", "preset"), config.server.preset),
        *((("hosts", host), name) for host, name in config.hosts.items()),
    ):
        if name not in known:
            yield path, f"no preset is named `{name}`{nearest(name, known)}"
    for host in config.hosts:
        if not HOST_NAME.fullmatch(host):
            yield ("hosts", host), "must be one host name in lower case, without scheme, port and `*`"


def _headers(target: TargetConfig) -> Iterator[tuple[Path, str]]:
    names = [name.lower() for name in target.headers]
    for name, value in target.headers.items():
        if not HEADER_NAME.fullmatch(name):
            yield ("headers", name), "is not a header name"
        elif name.lower() in OWN_HEADERS:
            yield ("headers", name), "is set by Ingot itself"
        elif name.lower() == "authorization" and (target.api_key or target.api_key_file):
            yield ("headers", name), "is given besides api_key; keep one of them"
        elif names.count(name.lower()) > 1:
            yield ("headers", name), "is given twice; the case of a header name does not matter"
        elif value and secret_problem(value):
            yield ("headers", name), str(secret_problem(value))


def _quirks(quirks: QuirksConfig) -> Iterator[tuple[Path, str]]:
    touched = [*quirks.rename, *quirks.rename.values(), *quirks.drop, *quirks.set]
    for name in sorted(set(touched) & set(OWN_FIELDS)):
        yield ("quirks",), f"{name} cannot be renamed, dropped or set: {OWN_FIELDS[name]}"
    if "" in touched or "" in quirks.reject:
        yield ("quirks",), "names an empty field"
    for name in repeated([*quirks.rename, *quirks.drop, *quirks.reject]):
        yield ("quirks",), f"{name} is treated twice among rename, drop and reject"
    for name in repeated(quirks.rename.values()):
        yield ("quirks", "rename"), f"gives two fields the name {name}"
    if not all(quirks.usage.split(".")):
        yield ("quirks", "usage"), 'must be names joined by dots, as "usage" or "meta.usage"'


def _model(
    name: str, model: ModelConfig, known: set[str], windows: Collection[str]
) -> Iterator[tuple[Path, str]]:
    if not MODEL_NAME.fullmatch(name):
        yield (), "a model's name is 1 to 200 letters, digits and . _ : / @ + ~ -"
    routes = model.routes()
    for index, route in enumerate(routes):
        if not route.target.startswith(ENGINE_PREFIX) and route.target not in known:
            yield (
                ("targets", index),
                f'no [targets] table is named "{route.target}"{nearest(route.target, known)}',
            )
        elif route.target == ENGINE_PREFIX:
            yield ("targets", index), 'name the embedded model, as "engine:demo-tiny"'
    for target, upstream in repeated((each.target, each.model or name) for each in routes):
        yield ("targets",), f'names "{target}" with model "{upstream}" twice; use weight for a larger share'
    if model.strategy == "ordered" and any(each.weight is not None for each in routes):
        yield ("strategy",), '"ordered" tries targets in their order; weights need strategy = "weighted"'
    for window in repeated(model.windows):
        yield ("windows",), f'names "{window}" twice'
    mark = model.refusal_mark
    if mark is not None and not (len(mark) in MARK_LENGTHS and mark == mark.strip()):
        yield ("refusal_mark",), "must be 2 to 40 characters, with no space at its ends"
    for index, window in enumerate(model.windows):
        if window not in windows:
            yield ("windows", index), f'no completion window is named "{window}"{nearest(window, windows)}'
    yield from _days(model)
    yield from _price(model)


def _days(model: ModelConfig) -> Iterator[tuple[Path, str]]:
    """When a model ends, and since when that is told."""
    for key in ("deprecated", "shutdown_date"):
        day = getattr(model, key)
        try:
            first_second("2026-11-01" if day is None else day)
        except ValueError:
            yield (key,), 'must be a day, as "2026-11-01"'
            return
    if model.shutdown_date is not None and model.deprecated is None:
        yield ("shutdown_date",), "needs `deprecated`, the day from which it is announced"
    elif model.shutdown_date is not None and model.shutdown_date <= str(model.deprecated):
        yield ("shutdown_date",), "must be after `deprecated`, so that clients have time"


def _price(model: ModelConfig) -> Iterator[tuple[Path, str]]:
    if isinstance(model.price, str):
        return
    yield from _rates(model.price, ("price",))
    for window, rates in (model.price.windows or {}).items():
        place = ("price", "windows", window)
        if window not in model.windows:
            yield place, f'has a price, but the model is not offered in it; add "{window}" to its windows'
        yield from _rates(rates, place)


def _rates(rates: RatesConfig, place: Path) -> Iterator[tuple[Path, str]]:
    for key in ("input", "cached_input", "cache_write", "output", "reasoning"):
        amount = getattr(rates, key)
        message = None if amount is None else price_problem(amount)
        if message:
            yield (*place, key), message


def repeated(items: Iterable[T]) -> list[T]:
    """The items that come more than once."""
    return [item for item, count in Counter(items).items() if count > 1]
