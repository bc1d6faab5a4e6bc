"""Prices are exact: what is written is what is billed."""

from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.config import ConfigError, PriceConfig, load
from ingot.pricing import (
    UNITS_PER_USD,
    Price,
    Rates,
    Tokens,
    frozen,
    parse,
    parse_frozen,
    parse_usd,
    per_million,
    rates,
    units_per_token,
    usd,
)

AMOUNTS = st.decimals(min_value=0, max_value=10_000, places=6)
UNITS = st.integers(0, 10**10)
RATES = st.builds(Rates, UNITS, UNITS, UNITS, UNITS, UNITS)
WINDOWS = st.lists(
    st.tuples(st.sampled_from(["standard", "flex"]), RATES), max_size=2, unique_by=lambda each: each[0]
)
PRICES = st.builds(Price, RATES, WINDOWS.map(tuple))
COUNTS = st.integers(0, 10**7)
USAGES = st.builds(Tokens, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
FACTORS = st.integers(0, 5_000_000)


def price_of(text: str) -> Price:
    """The price that a file's `price = ...` means."""
    windows = 'windows = ["asap", "standard", "flex"]'
    config = load(
        f'[targets.a]\nbase_url = "https://a"\n[models.m]\ntargets = ["a"]\n{windows}\nprice = {text}\n', {}
    )
    return parse(config.models["m"].price)


def test_parse_when_free() -> None:
    """Free is a price of its own, and prints as such."""
    assert price_of('"free"') == Price.free
    assert str(Price.free) == "free"
    assert Price.free.is_free


def test_parse_when_written_in_toml() -> None:
    """0.15 USD per 1M tokens is 150,000 units of 1e-12 USD a token, without a binary fraction between."""
    assert price_of("{ input = 0.15, cached_input = 0.03, output = 0.60 }") == Price(
        rates(150_000, 600_000, cached_input=30_000)
    )
    assert price_of("{ input = 1, output = 1e1 }") == Price(rates(1_000_000, 10_000_000))


def test_parse_when_cached_input_is_not_said() -> None:
    """Cached tokens then cost what the others cost, and the text does not mention them."""
    assert str(price_of("{ input = 0.15, output = 0.60 }")) == "0.15/0.6"
    assert str(price_of("{ input = 0.15, cached_input = 0, output = 0.60 }")) == "0.15 (cached 0)/0.6"


def test_parse_when_zero() -> None:
    """A price of nothing is free, in whatever form it is written."""
    assert price_of("{ input = 0, output = -0.0 }").is_free


@settings(deadline=None)
@given(AMOUNTS)
def test_units_when_written_again(amount: Decimal) -> None:
    """An amount survives the way into units and back."""
    assert Decimal(per_million(units_per_token(amount))) == amount


@settings(deadline=None)
@given(AMOUNTS)
def test_parse_when_any_price(amount: Decimal) -> None:
    """What TOML says is what the price holds."""
    price = price_of(f"{{ input = {amount:f}, output = {amount:f} }}")
    assert price == Price(Rates(*[int(amount * 10**6)] * 5))


@pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity", "0.0000001", "10000.000001", "1e400"])
def test_units_when_amount_cannot_be_billed(amount: str) -> None:
    """An amount that would be rounded, or that nobody means, is an error here too."""
    with pytest.raises(ValueError, match="a price of"):
        units_per_token(Decimal(amount))
    with pytest.raises(ValueError, match="a price of"):
        parse(PriceConfig(input=Decimal(amount), output=Decimal(0)))


def test_parse_when_every_kind_is_priced() -> None:
    """Writing to a cache and reasoning have their own prices, and windows theirs; what is not said follows its whole."""
    price = price_of(
        "{ input = 3, cached_input = 0.3, cache_write = 3.75, output = 15, reasoning = 10, "
        "windows = { standard = { input = 1.5, output = 7.5 } } }"
    )
    assert price.base == Rates(3_000_000, 300_000, 3_750_000, 15_000_000, 10_000_000)
    assert price.at("standard") == rates(1_500_000, 7_500_000)
    assert price.at("flex") == price.at("asap") == price.base
    assert str(price) == "3 (cached 0.3, cache write 3.75)/15 (reasoning 10); standard 1.5/7.5"


def test_parse_when_a_window_costs_the_same() -> None:
    """A window's price that repeats the base one is none of its own."""
    text = "{ input = 1, output = 2, windows = { flex = { input = 1, output = 2 } } }"
    assert price_of(text) == price_of("{ input = 1, output = 2 }")


@pytest.mark.parametrize(
    ("windows", "told"),
    [
        ("priority = { input = 1, output = 1 }", 'add "priority" to its windows'),
        ("standard = { input = 0.0000001, output = 1 }", "more than 6 decimals"),
        ("nightly = { input = 1, output = 1 }", 'add "nightly" to its windows'),
        ("standard = { input = 1 }", "is missing"),
    ],
)
def test_parse_when_a_window_is_priced_wrongly(windows: str, told: str) -> None:
    """A price that would never count, or cannot be billed, stops the start."""
    with pytest.raises(ConfigError, match=told):
        price_of(f"{{ input = 1, output = 2, windows = {{ {windows} }} }}")


def test_cost_when_some_tokens_were_cached() -> None:
    """Cached tokens are part of the input and have their own price."""
    price = Price(rates(150_000, 600_000, cached_input=30_000))
    assert price.cost(Tokens(input=1_000_000), window="asap") == 15 * UNITS_PER_USD // 100
    used = Tokens(input=10, cached_input=4, output=2)
    assert price.cost(used, window="asap") == 6 * 150_000 + 4 * 30_000 + 2 * 600_000


def test_cost_when_a_factor_leaves_a_fraction() -> None:
    """A call at a plan's factor is rounded up to the next unit, once and not for each token."""
    price = Price(rates(1, 1))
    assert price.cost(Tokens(input=1), window="asap", factor=1) == 1
    assert price.cost(Tokens(input=10, output=1), window="asap", factor=500_000) == 6
    assert price.cost(Tokens(), window="asap", factor=500_000) == 0
    assert price.cost(Tokens(input=10), window="asap", factor=0) == 0


@given(PRICES, USAGES, FACTORS, st.sampled_from(["asap", "standard", "flex"]))
def test_cost_when_any_call(price: Price, used: Tokens, factor: int, window: str) -> None:
    """It is the exact sum over the kinds of tokens, rounded up, and never less than nothing."""
    own = price.at(window)
    cached = min(used.cached_input, used.input)
    written = min(used.cache_write, used.input - cached)
    thought = min(used.reasoning, used.output)
    kinds = [
        (used.input - cached - written, own.input),
        (cached, own.cached_input),
        (written, own.cache_write),
        (used.output - thought, own.output),
        (thought, own.reasoning),
    ]
    assert sum(count for count, _ in kinds) == used.input + used.output
    exact = sum(Fraction(count * units * factor, 10**6) for count, units in kinds)
    assert price.cost(used, window=window, factor=factor) == ceil(exact) >= 0


@given(PRICES, USAGES, FACTORS, COUNTS, COUNTS)
def test_most_when_any_call_fits(
    price: Price, used: Tokens, factor: int, more_in: int, more_out: int
) -> None:
    """No call of at most so many tokens costs more than what is reserved for it."""
    most = price.most(
        input_tokens=used.input + more_in, output_tokens=used.output + more_out, window="flex", factor=factor
    )
    assert price.cost(used, window="flex", factor=factor) <= most


@given(PRICES, USAGES, FACTORS, st.sampled_from(["asap", "standard"]))
def test_frozen_when_read_again(price: Price, used: Tokens, factor: int, window: str) -> None:
    """The text in a ledger row gives the same cost again, whatever the price is by then."""
    text = frozen(price, window=window, factor=factor)
    again = parse_frozen(text)
    assert again.rates == price.at(window)
    assert again.cost(used) == price.cost(used, window=window, factor=factor)


def test_frozen_when_short() -> None:
    """What follows from the rest is left out: a row is written with every answer."""
    assert frozen(Price.free, window="asap") == '{"input":0,"output":0}'
    assert frozen(Price(rates(3, 9, cache_write=4)), window="asap", factor=7) == (
        '{"input":3,"cache_write":4,"output":9,"factor":7}'
    )


@pytest.mark.parametrize(
    "text", ["", "null", "{}", '{"input":1}', '{"input":1,"output":-1}', '{"input":1,"output":1,"x":1}']
)
def test_frozen_when_it_is_no_price(text: str) -> None:
    """A text that was tampered with is told as such."""
    with pytest.raises(ValueError, match="not the text of a price"):
        parse_frozen(text)


@given(st.integers(-(10**18) + 1, 10**18 - 1))
def test_usd_when_read_again(units: int) -> None:
    """An amount survives the way into text and back."""
    assert parse_usd(usd(units)) == units


@pytest.mark.parametrize(
    "text",
    ["", "-", "1.", ".5", "1e3", "1,5", "+1", "--1", "1.0000000000001", "1000000.000000000001", "\u0661"],
)
def test_usd_when_it_is_no_amount(text: str) -> None:
    """What people would not write as an amount, or could not mean, is refused."""
    with pytest.raises(ValueError, match="USD"):
        parse_usd(text)


def test_usd_when_printed() -> None:
    """Amounts are printed with all their digits and no more."""
    assert usd(0) == "0"
    assert usd(12_500_000) == "0.0000125"
    assert usd(-3 * UNITS_PER_USD) == "-3"
    assert usd(1) == "0.000000000001"
