"""Prices are exact: what is written is what is billed."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.config import PriceConfig, load
from ingot.pricing import UNITS_PER_USD, Price, parse, per_million, units_per_token, usd

AMOUNTS = st.decimals(min_value=0, max_value=10_000, places=6)


def price_of(text: str) -> Price:
    """The price that a file's `price = ...` means."""
    config = load(f'[targets.a]\nbase_url = "https://a"\n[models.m]\ntargets = ["a"]\nprice = {text}\n', {})
    return parse(config.models["m"].price)


def test_parse_when_free() -> None:
    """Free is a price of its own, and prints as such."""
    assert price_of('"free"') == Price.free
    assert str(Price.free) == "free"
    assert Price.free.is_free


def test_parse_when_written_in_toml() -> None:
    """0.15 USD per 1M tokens is 150,000 units of 1e-12 USD a token, without a binary fraction between."""
    assert price_of("{ input = 0.15, cached_input = 0.03, output = 0.60 }") == Price(150_000, 30_000, 600_000)
    assert price_of("{ input = 1, output = 1e1 }") == Price(1_000_000, 1_000_000, 10_000_000)


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
    assert price.input == price.output == price.cached_input == int(amount * 10**6)


@pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity", "0.0000001", "10000.000001", "1e400"])
def test_units_when_amount_cannot_be_billed(amount: str) -> None:
    """An amount that would be rounded, or that nobody means, is an error here too."""
    with pytest.raises(ValueError, match="a price of"):
        units_per_token(Decimal(amount))
    with pytest.raises(ValueError, match="a price of"):
        parse(PriceConfig(input=Decimal(amount), output=Decimal(0)))


def test_cost_when_some_tokens_were_cached() -> None:
    """Cached tokens are part of the input and have their own price."""
    price = Price(input=150_000, cached_input=30_000, output=600_000)
    assert price.cost(input_tokens=1_000_000, output_tokens=0) == 15 * UNITS_PER_USD // 100
    assert (
        price.cost(input_tokens=10, cached_tokens=4, output_tokens=2)
        == 6 * 150_000 + 4 * 30_000 + 2 * 600_000
    )


def test_usd_when_printed() -> None:
    """Amounts are printed with all their digits and no more."""
    assert usd(0) == "0"
    assert usd(12_500_000) == "0.0000125"
    assert usd(-3 * UNITS_PER_USD) == "-3"
    assert usd(1) == "0.000000000001"
