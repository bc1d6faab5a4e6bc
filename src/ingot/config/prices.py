"""The records of a price: a model's, and those of single completion windows."""

from decimal import Decimal
from typing import Annotated, Final

from ingot.config.section import Section, about

PRICE_HELP: Final = (
    'write price = "free", or price = { input = 0.15, cached_input = 0.03, output = 0.60 } '
    "in USD per 1M tokens"
)


class RatesConfig(Section, frozen=True, kw_only=True):
    """The price of a model in one window: a whole price, of which nothing comes from the model's other prices."""

    input: Annotated[
        Decimal,
        about("Tokens of the prompt.", unit="USD per 1M tokens", missing=PRICE_HELP, instead=Decimal(0)),
    ]
    output: Annotated[
        Decimal,
        about("Tokens of the answer.", unit="USD per 1M tokens", missing=PRICE_HELP, instead=Decimal(0)),
    ]
    cached_input: Annotated[
        Decimal | None,
        about(
            "Tokens of the prompt that the target had cached; unset: as `input`.", unit="USD per 1M tokens"
        ),
    ] = None
    cache_write: Annotated[
        Decimal | None,
        about(
            "Tokens of the prompt that the target put into its cache; unset: as `input`.",
            unit="USD per 1M tokens",
        ),
    ] = None
    reasoning: Annotated[
        Decimal | None,
        about(
            "Tokens of the answer that the model spent on reasoning; unset: as `output`.",
            unit="USD per 1M tokens",
        ),
    ] = None


class WindowPricesConfig(Section, frozen=True, kw_only=True):
    """Prices of completion windows that differ from the model's price; a window that is not named costs that."""

    asap: Annotated[RatesConfig | None, about("Price of answers that are given at once.")] = None
    priority: Annotated[RatesConfig | None, about("Price of answers that come before others.")] = None
    standard: Annotated[RatesConfig | None, about("Price of answers that may wait.")] = None
    flex: Annotated[RatesConfig | None, about("Price of answers that may wait longest.")] = None

    def given(self) -> dict[str, RatesConfig]:
        """Those that are there, by window."""
        named = {"asap": self.asap, "priority": self.priority, "standard": self.standard, "flex": self.flex}
        return {window: each for window, each in named.items() if each is not None}


class PriceConfig(RatesConfig, frozen=True, kw_only=True):
    """The price of a model, in USD per 1M tokens, with at most 6 decimals."""

    windows: Annotated[
        WindowPricesConfig | None,
        about("Prices of single windows, as `{ standard = { input = 0.1, output = 0.4 } }`."),
    ] = None
