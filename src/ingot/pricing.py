"""Prices: exact integers of 1e-12 USD per token, and what a number of tokens costs.

0.15 USD per 1M tokens is 150,000 units a token. Integers, because a ledger must add up. Refuses to know
who pays, and where a price comes from.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Final, Literal

from ingot.config import PriceConfig, price_problem

UNITS_PER_USD: Final = 10**12
TOKENS: Final = 10**6  # prices are written per million tokens
MOST_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Price:
    """Units of 1e-12 USD per token of each kind."""

    input: int
    cached_input: int
    output: int

    free: ClassVar["Price"]

    @property
    def is_free(self) -> bool:
        return self == Price.free

    def cost(self, *, input_tokens: int, cached_tokens: int = 0, output_tokens: int) -> int:
        """Units for a call; `cached_tokens` are those among `input_tokens` that the target had cached."""
        fresh = input_tokens - cached_tokens
        return fresh * self.input + cached_tokens * self.cached_input + output_tokens * self.output

    def __str__(self) -> str:
        """`free`, or `0.15/0.6` and, where it differs from input, the cached price: `0.15 (cached 0.03)/0.6`."""
        if self.is_free:
            return "free"
        cached = f" (cached {per_million(self.cached_input)})" if self.cached_input != self.input else ""
        return f"{per_million(self.input)}{cached}/{per_million(self.output)}"


Price.free = Price(0, 0, 0)


def parse(price: PriceConfig | Literal["free"]) -> Price:
    """The exact price of a configured one; ValueError if it cannot be billed exactly."""
    if isinstance(price, str):
        return Price.free
    fresh = units_per_token(price.input)
    cached = fresh if price.cached_input is None else units_per_token(price.cached_input)
    return Price(input=fresh, cached_input=cached, output=units_per_token(price.output))


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
    if len(whole.lstrip("0")) > 6:
        raise ValueError(f"{text[:40]!r} is more than 999,999 USD; enter it in parts if it is meant")
    amount = int(whole) * UNITS_PER_USD + int(rest[:MOST_DIGITS].ljust(MOST_DIGITS, "0"))
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
