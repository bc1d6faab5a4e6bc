"""What a model may carry beside its targets and prices: a card. Reloaded on SIGHUP."""

from typing import Annotated

from msgspec import Meta, field

from ingot.config.section import Section, about

Text = Annotated[str, Meta(min_length=1)]


class CardConfig(Section, frozen=True, kw_only=True, omit_defaults=True):
    """`[models.NAME.card]`: what people should know of the model; `GET /v1/models/NAME` serves it as `card`."""

    summary: Annotated[Text | None, about("The model in a sentence.")] = None
    description: Annotated[Text | None, about("More about it.")] = None
    intended_use: Annotated[Text | None, about("What it is for, and what it is not for.")] = None
    limitations: Annotated[Text | None, about("What it does badly.")] = None
    training: Annotated[Text | None, about("What it was trained on, and until when.")] = None
    license: Annotated[Text | None, about("The licence of its weights.")] = None
    languages: Annotated[list[Text], about("Languages that it knows, as `en`.")] = field(default_factory=list)
    url: Annotated[Text | None, about("Where to read more.")] = None
