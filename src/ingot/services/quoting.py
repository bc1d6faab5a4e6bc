"""Admission of work that waits: it is let in with a promise, or refused with a moment at which it will be let in.

    load --desk--> Quote                    let in
              '--> 429 `capacity`           with Retry-After; without one where its window is too short for it, ever

Decides what a client is told; how it is decided is the desk's.
"""

import hashlib
import math
from typing import Final

from ingot.dialects.dialect import Call
from ingot.errors import RateLimited
from ingot.scheduling.quotes import Quote, Refusal
from ingot.services.asking import Asked
from ingot.services.desk import Load
from ingot.services.runtime import Runtime
from ingot.windows import FIELD

CODE: Final = "capacity"


async def admit(runtime: Runtime, load: Load) -> Quote:
    """The promise for work, which from now on counts as waiting; raises RateLimited where none can be given."""
    decided = await runtime.desk.decide(runtime.catalog, load)
    if isinstance(decided.told, Refusal):
        raise refusal(load, decided.told, guessed=decided.guessed)
    return decided.told


def refusal(load: Load, told: Refusal, *, guessed: int | None = None) -> RateLimited:
    """What a client is told whose work is not let in; `guessed`: no more than so many are until something is measured."""
    if guessed is not None:
        return _unknown(load, told.retry_after, most=guessed)
    if told.retry_after is None:
        return RateLimited(
            f"This is more than the completion window '{load.window}' of the model '{load.model}' has room for, "
            "whenever it comes. Name a longer window, or send less at once.",
            param=FIELD,
            code=CODE,
            headers=(("x-should-retry", "false"),),
        )
    seconds = math.ceil(told.retry_after)
    whose = "your organization" if told.reason == "share" else "everybody"
    return RateLimited(
        f"With what waits of {whose} already this could not be finished within the completion window "
        f"'{load.window}' of the model '{load.model}', so it was not taken. Send it again in {seconds} s, when there "
        "will be room for it, or name a longer window.",
        param=FIELD,
        code=CODE,
        retry_after=float(seconds),
        patient=True,
    )


def _unknown(load: Load, wait: float | None, *, most: int) -> RateLimited:
    seconds = None if wait is None else math.ceil(wait)
    advice = "Send no more at once" if seconds is None else f"Send it again in {seconds} s"
    return RateLimited(
        f"How fast the model '{load.model}' answers queued requests is not known yet. Until some were answered, at most "
        f"{most:,} may wait in the completion window '{load.window}'. {advice}, or name a longer window.",
        param=FIELD,
        code=CODE,
        retry_after=None if seconds is None else float(seconds),
        headers=(("x-should-retry", "false"),) if seconds is None else None,
    )


def load_of(runtime: Runtime, asked: Asked, call: Call) -> Load:
    """A request in the background as work; `call` is all that is read for it."""
    read, written = runtime.gate.estimates_of(call, asked.deployment)
    return Load(
        org_id=asked.principal.org_id,
        model=asked.deployment.name,
        window=asked.window,
        weight=asked.principal.grant.weight,
        read=read,
        written=written,
        key=fingerprint(asked.path, asked.call.body.data),
    )


def fingerprint(*parts: str | bytes) -> str:
    """What tells work again when it comes back."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()
