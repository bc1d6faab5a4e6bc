"""How an inference can end, and what follows from it: one table that the record, the bill and the retry key are read from.

    ending          what happened                                 response    bill       answer   key
    COMPLETED       the whole answer came, with its usage         completed   as told    kept     answered
    ESTIMATED       the whole answer came, without its usage      completed   estimate   kept     answered
    BROKEN          the target broke off after output came        failed      what came  kept     answered
    BROKEN_EARLY    it broke off before any came                  failed      nothing    -        free
    LEFT            the client left after output came             cancelled   what came  kept     answered
    LEFT_EARLY      it left before any came                       cancelled   nothing    -        free
    REFUSED         the target's last word on this request: 4xx   failed (1)  nothing    -        answered
    FAILED          no target answered: 5xx, timeouts             failed      nothing    -        free
    NEVER_RAN       no target was asked, or all were busy         - (2)       nothing    -        free

Response: the state of the stored row; (1) only where the request has a key, which it answers; (2) no row. Bill: whether there is
a ledger row; `what came` is what the target counted up to there, else an estimate. Answer: whether what came is kept, where
the organization keeps any; the request is kept with each response. Key: what a retry with the same idempotency key gets,
the same again, or a new try. Decides nothing about tokens, prices, or who keeps content.
"""

from typing import Final, Literal

from msgspec import Struct

from ingot.services.door import Outcome

State = Literal["completed", "failed", "cancelled"]


class Ending(Struct, frozen=True, kw_only=True):
    """A row of the table."""

    name: str
    state: State
    recorded: Literal["always", "keyed", "never"]
    billed: bool
    kept: bool
    final: bool


COMPLETED: Final = Ending(
    name="completed", state="completed", recorded="always", billed=True, kept=True, final=True
)
ESTIMATED: Final = Ending(
    name="estimated", state="completed", recorded="always", billed=True, kept=True, final=True
)
BROKEN: Final = Ending(name="broken", state="failed", recorded="always", billed=True, kept=True, final=True)
BROKEN_EARLY: Final = Ending(
    name="broken_early", state="failed", recorded="always", billed=False, kept=False, final=False
)
LEFT: Final = Ending(name="left", state="cancelled", recorded="always", billed=True, kept=True, final=True)
LEFT_EARLY: Final = Ending(
    name="left_early", state="cancelled", recorded="always", billed=False, kept=False, final=False
)
REFUSED: Final = Ending(
    name="refused", state="failed", recorded="keyed", billed=False, kept=False, final=True
)
FAILED: Final = Ending(
    name="failed", state="failed", recorded="always", billed=False, kept=False, final=False
)
NEVER_RAN: Final = Ending(
    name="never_ran", state="failed", recorded="never", billed=False, kept=False, final=False
)


def ending_of(outcome: Outcome) -> Ending:
    """The row that an inference has come to, once it has ended."""
    if not outcome.attempts:
        return NEVER_RAN
    usage = outcome.usage
    output = usage is not None and usage.output > 0
    if outcome.departed:
        return LEFT if output else LEFT_EARLY
    if outcome.status == 200:
        if outcome.error is None:
            return ESTIMATED if usage is None or usage.estimated else COMPLETED
        return BROKEN if output else BROKEN_EARLY
    if outcome.refused:
        return REFUSED
    return FAILED if outcome.ours else NEVER_RAN
