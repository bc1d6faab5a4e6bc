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


class PriceConfig(RatesConfig, frozen=True, kw_only=True):
    """The price of a model, in USD per 1M tokens, with at most 6 decimals."""

    windows: Annotated[
        dict[str, RatesConfig] | None,
        about(
            "Prices of single completion windows, as `{ standard = { input = 0.1, output = 0.4 } }`; one that is not named "
            "costs what stands beside it."
        ),
    ] = None
