"""Prices: exact integers of 1e-12 USD per token, and what a number of tokens costs.

    Price --at(window)--> Rates --cost(usage, factor)--> units

0.15 USD per 1M tokens is 150,000 units a token. Integers, because a ledger must add up. A plan's factor can
leave a fraction of a unit on the sum of a call: it is rounded up, so that a factor never makes a call cost less
than it says, and by less than 1e-12 USD more. Refuses to know who pays, and where a price comes from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import ClassVar, Final, Literal, Protocol

import msgspec

from ingot.config import PriceConfig, RatesConfig, price_problem

UNITS_PER_USD: Final = 10**12
LARGEST: Final = 10**6 * UNITS_PER_USD
"""The largest amount that is taken at once: more is a slip of the hand."""
TOKENS: Final = 10**6  # prices are written per million tokens
WHOLE: Final = 10**6  # a factor of 1, in parts per million
MOST_DIGITS: Final = 12


class Usage(Protocol):
    """Tokens of one call: `cached_input` and `cache_write` are parts of `input`, `reasoning` of `output`."""

    @property
    def input(self) -> int: ...
    @property
    def cached_input(self) -> int: ...
    @property
    def cache_write(self) -> int: ...
    @property
    def output(self) -> int: ...
    @property
    def reasoning(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Tokens:
    """A Usage, as a ledger row tells it."""

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0


class Rates(msgspec.Struct, frozen=True, gc=False):
    """Units of 1e-12 USD per token of each kind; what is cached, or written to a cache, has its own."""

    input: int
    cached_input: int
    cache_write: int
    output: int
    reasoning: int

    def cost(self, usage: Usage, *, factor: int = WHOLE) -> int:
        """Units for a call at `factor` parts per million; a part that is larger than its whole counts as the whole."""
        read, output = usage.input, usage.output
        cached, written, thought = usage.cached_input, usage.cache_write, usage.reasoning
        if cached or written or thought:
            cached = min(cached, read)
            written = min(written, read - cached)
            thought = min(thought, output)
        exact = (
            (read - cached - written) * self.input
            + cached * self.cached_input
            + written * self.cache_write
            + (output - thought) * self.output
            + thought * self.reasoning
        )
        return -(-exact * factor // WHOLE)

    def most(self, *, input_tokens: int, output_tokens: int, factor: int = WHOLE) -> int:
        """The most that a call of at most so many tokens can cost, whatever kinds they turn out to be."""
        dearest_input, dearest_output = _dearest(self)
        exact = input_tokens * dearest_input + output_tokens * dearest_output
        return -(-exact * factor // WHOLE)

    def __str__(self) -> str:
        """`free`, or input/output with what differs from them: `0.15 (cached 0.03)/0.6 (reasoning 0.7)`."""
        if self == _FREE_RATES:
            return "free"
        cached = [("cached", self.cached_input), ("cache write", self.cache_write)]
        told = ", ".join(f"{name} {per_million(units)}" for name, units in cached if units != self.input)
        thought = f" (reasoning {per_million(self.reasoning)})" if self.reasoning != self.output else ""
        return f"{per_million(self.input)}{f' ({told})' if told else ''}/{per_million(self.output)}{thought}"


@lru_cache(maxsize=1024)
def _dearest(own: Rates) -> tuple[int, int]:
    return max(own.input, own.cached_input, own.cache_write), max(own.output, own.reasoning)


_FREE_RATES: Final = Rates(0, 0, 0, 0, 0)


def rates(
    input: int,  # noqa: A002  # the name that the configuration and the ledger have for it
    output: int,
    *,
    cached_input: int | None = None,
    cache_write: int | None = None,
    reasoning: int | None = None,
) -> Rates:
    """Rates where what is not said costs as the kind of which it is a part."""
    return Rates(
        input=input,
        cached_input=input if cached_input is None else cached_input,
        cache_write=input if cache_write is None else cache_write,
        output=output,
        reasoning=output if reasoning is None else reasoning,
    )


class Price(msgspec.Struct, frozen=True, gc=False):
    """What a deployment costs: its rates, and those of windows that have their own.

    A Struct, for it is looked up with each answer: it is hashed in C.
    """

    base: Rates
    windows: tuple[tuple[str, Rates], ...] = ()

    free: ClassVar["Price"]

    @property
    def is_free(self) -> bool:
        """Whether no call can cost anything."""
        return self.base == _FREE_RATES and all(own == _FREE_RATES for _, own in self.windows)

    def at(self, window: str) -> Rates:
        """The rates of a window: its own, or the base ones."""
        for name, own in self.windows:
            if name == window:
                return own
        return self.base

    def cost(self, usage: Usage, *, window: str, factor: int = WHOLE) -> int:
        """Units for a call in a window at `factor` parts per million, rounded up to the next unit."""
        return self.at(window).cost(usage, factor=factor)

    def most(self, *, input_tokens: int, output_tokens: int, window: str, factor: int = WHOLE) -> int:
        """The most that a call of at most so many tokens can cost; `cost` never exceeds it."""
        return self.at(window).most(input_tokens=input_tokens, output_tokens=output_tokens, factor=factor)

    def __str__(self) -> str:
        """`free`, or the rates, then those of windows: `0.15/0.6; standard 0.1/0.4`."""
        return "; ".join([str(self.base), *(f"{name} {own}" for name, own in self.windows)])


Price.free = Price(_FREE_RATES)


# ---- as configured


def parse(price: PriceConfig | Literal["free"]) -> Price:
    """The exact price of a configured one; ValueError if it cannot be billed exactly."""
    if isinstance(price, str):
        return Price.free
    own = tuple((name, _rates(each)) for name, each in (price.windows or {}).items())
    base = _rates(price)
    return Price(base, tuple((name, each) for name, each in own if each != base))


def _rates(config: RatesConfig) -> Rates:
    return rates(
        units_per_token(config.input),
        units_per_token(config.output),
        cached_input=_optional(config.cached_input),
        cache_write=_optional(config.cache_write),
        reasoning=_optional(config.reasoning),
    )


def _optional(amount: Decimal | None) -> int | None:
    return None if amount is None else units_per_token(amount)


# ---- as the ledger keeps it


@dataclass(frozen=True, slots=True)
class Frozen:
    """The price that a call was reckoned with, as its ledger row tells it."""

    rates: Rates
    factor: int

    def cost(self, usage: Usage) -> int:
        """Units for these tokens: the same number as when the row was written."""
        return self.rates.cost(usage, factor=self.factor)


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    input: int
    output: int
    cached_input: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    factor: int = WHOLE


_row = msgspec.json.Decoder(_Row)


@lru_cache(maxsize=1024)  # a server has few prices and plans, and writes one with each answer
def frozen(price: Price, *, window: str, factor: int = WHOLE) -> str:
    """The JSON text that a ledger row keeps of a price; what follows from the rest is left out."""
    own = price.at(window)
    short = rates(own.input, own.output)
    told = {name: getattr(own, name) for name in own.__struct_fields__}
    kept = {
        name: units
        for name, units in told.items()
        if name in {"input", "output"} or units != getattr(short, name)
    }
    return _json(kept if factor == WHOLE else kept | {"factor": factor})


@lru_cache(maxsize=1024)
def parse_frozen(text: str) -> Frozen:
    """The price in a ledger row; ValueError where the text is not one."""
    try:
        row = _row.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(f"not the text of a price: {error}") from error
    own = rates(
        row.input,
        row.output,
        cached_input=row.cached_input,
        cache_write=row.cache_write,
        reasoning=row.reasoning,
    )
    if min(own.input, own.cached_input, own.cache_write, own.output, own.reasoning, row.factor) < 0:
        raise ValueError("not the text of a price: it holds a number below zero")
    return Frozen(own, row.factor)


def told_price(text: str) -> dict[str, str]:
    """A frozen price in USD per 1M tokens, the plan's factor apart; ValueError where the text is not one."""
    own = parse_frozen(text).rates
    return {
        "input": per_million(own.input),
        "cached_input": per_million(own.cached_input),
        "output": per_million(own.output),
    }


def reasoning_price(text: str) -> str:
    """What a token of thought costs by a frozen price, told as `told_price` tells the others."""
    return per_million(parse_frozen(text).rates.reasoning)


def _json(value: Mapping[str, int]) -> str:
    return msgspec.json.encode(value).decode()


# ---- as text


def units_per_token(amount: Decimal) -> int:
    """Units of 1e-12 USD per token for an amount in USD per 1M tokens; ValueError unless it is exact."""
    message = price_problem(amount)
    if message:
        raise ValueError(f"a price of {amount:.20g} {message}")
    return int(amount * (UNITS_PER_USD // TOKENS))


def parse_usd(text: str) -> int:
    """Units for an amount in USD as people write it, `12.50` or `-3`; ValueError unless it is exact."""
    body = text.removeprefix("-")
    whole, point, rest = body.partition(".")
    digits = whole + rest
    if not (digits.isascii() and digits.isdigit() and whole) or (point and not rest):
        raise ValueError(f"{text[:40]!r} is not an amount in USD, as 12.50")
    if len(rest.rstrip("0")) > MOST_DIGITS:
        raise ValueError(
            f"{text[:40]!r} has more than 12 decimals; the smallest amount is 0.000000000001 USD"
        )
    amount = LARGEST + 1
    if len(whole.lstrip("0")) <= len(str(LARGEST // UNITS_PER_USD)):
        amount = int(whole) * UNITS_PER_USD + int(rest[:MOST_DIGITS].ljust(MOST_DIGITS, "0"))
    if amount > LARGEST:
        raise ValueError(f"{text[:40]!r} is more than {usd(LARGEST)} USD; enter it in parts if it is meant")
    return -amount if text.startswith("-") else amount


def per_million(units: int) -> str:
    """Units per token as USD per 1M tokens, in as few digits as are exact: `0.15`."""
    return decimal_text(units, 6)


def usd(units: int) -> str:
    """An amount of units as USD, in as few digits as are exact: `0.0000125`."""
    return decimal_text(units, 12)


def decimal_text(number: int, places: int) -> str:
    """`number` / 10**`places`, without an exponent or a last zero."""
    sign = "-" if number < 0 else ""
    whole, rest = divmod(abs(number), 10**places)
    digits = f"{rest:0{places}d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"
