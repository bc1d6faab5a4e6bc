"""The section about completion windows: how soon an answer is due, who may ask for it, and what a late one means."""

from typing import Annotated, Final, Literal

from msgspec import Meta

from ingot.config.section import Section, about

OnMiss = Literal["escalate", "refund", "fail"]

SHIPPED_WINDOWS: Final = ("asap", "priority", "standard", "flex")

LONGEST: Final = 30 * 86400
"""Seconds: what waits is kept, and paid for in advance, no longer than that."""


class WindowConfig(Section, frozen=True, kw_only=True):
    """`[windows.NAME]`: a completion window. Reloaded on SIGHUP; a key that is not set is as it ships, or as said here."""

    seconds: Annotated[
        Annotated[float, Meta(ge=0, le=LONGEST)] | None,
        about(
            "From a request to its answer. A window of your own must say it; `asap`, `priority`, `standard` and `flex` "
            "ship with 0, 60, 300 and 86400.",
            unit="seconds",
            example="3600",
        ),
    ] = None
    batch_seconds: Annotated[
        Annotated[float, Meta(gt=0, le=LONGEST)] | None,
        about("The same for all requests of a batch; unset: 86400.", unit="seconds", example="86400"),
    ] = None
    background_only: Annotated[
        bool | None,
        about("Whether only work in the background may ask for it; unset: true for `flex`.", example="true"),
    ] = None
    batchable: Annotated[
        bool | None,
        about("Whether batches may ask for it; unset: false for `asap` and `priority`.", example="true"),
    ] = None
    margin: Annotated[
        Annotated[float, Meta(ge=0, le=LONGEST)] | None,
        about(
            "How long before it must begin waiting work is put before all that is not urgent; unset: as long as suits its "
            "length, 15 seconds of 5 minutes, 59 minutes of a day.",
            unit="seconds",
            example="360",
        ),
    ] = None
    on_miss: Annotated[
        OnMiss | None,
        about(
            "What becomes of work that is late: `escalate` carries on with it before all else, `refund` does that too and "
            "charges nothing, `fail` ends it unpaid; unset: `escalate`.",
            example='"refund"',
        ),
    ] = None
    batch_on_miss: Annotated[
        OnMiss | None, about("The same for requests of a batch; unset: `fail`.", example='"escalate"')
    ] = None
