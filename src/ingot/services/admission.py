"""Whether a request may run now: its organization's and its key's rates, then the money that it could cost.

    admit --rates: all or none--> --money: the most it could cost--> Admission --> leave, with what it really used
             RateLimited 429          QuotaExceeded 402: the rates are given back

Decides what is reserved: tokens by an estimate that learns from each model's answers, money by a bound: a token is a byte
at least, and a picture has a fixed price. A target that counts more than that costs the operator the difference. Knows no
headers; who shows the standing of the limits asks the admission for it.
"""

import math
import re
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

from ingot.catalog import Deployment
from ingot.dialects.dialect import Call
from ingot.errors import RateLimited
from ingot.limits.limiter import Claim, Limiter, Refused, Reservation, Standing
from ingot.limits.memory import MemoryLimiter
from ingot.services.estimates import Estimates
from ingot.services.keys import Principal
from ingot.services.purse import Hold, Purse

USUAL_ANSWER = 1024
"""Tokens reserved against a rate for an answer whose request sets no limit; the real number is settled."""

LONGEST_ANSWER = 16_384
"""Tokens of money reserved for such an answer where the deployment's context is not known."""

MEDIA_TOKENS = 8_192
"""Tokens of money reserved for each image, sound or file: its address may be short, and what it costs is not."""

BYTES_A_TOKEN = 3.0
LEARNING = 0.05
"""What one answer moves the estimate of its model by."""

_MEDIA = (b'"image_url"', b'"input_audio"', b'"file"')
_BLOCKS = (b'"image"', b'"document"')
_ANY_MEDIA = re.compile(b'"(?:image|input_audio|file|document)')
_DOCUMENT_IMAGES = 16
"""What a document is reserved for, in images: it may have a hundred pages."""

_NAMES = {
    "requests": "requests a minute",
    "tokens": "tokens a minute",
    "concurrency": "requests at the same time",
}


class LimitReached(RateLimited):
    """A limit of ours, with what the answer's headers tell of it."""

    def __init__(self, message: str, refused: Refused, *, hopeless: bool = False) -> None:
        """`hopeless`: the same request will never pass, so that no client should try it again."""
        super().__init__(
            message,
            retry_after=None if hopeless else refused.retry_after,
            headers=(("x-should-retry", "false"),) if hopeless else None,
        )
        self.refused = refused


class Admission(Struct):
    """What was reserved for one request, to be given back by `leave`."""

    reservation: Reservation | None = None
    hold: Hold | None = None

    @property
    def standing(self) -> Standing | None:
        """How the limits stand after this request, where it has any."""
        return None if self.reservation is None else self.reservation.standing


@dataclass(slots=True)
class Gate:
    """Admits and lets go; one for a process."""

    limiter: Limiter
    purse: Purse
    _instant: MemoryLimiter | None = field(init=False)
    """The limiter where it never waits: a call of it is no coroutine then."""
    ratios: dict[str, float] = field(default_factory=dict)
    """Bytes of a body for each input token, by deployment."""
    estimates: Estimates = field(default_factory=Estimates)
    """What is known of the targets' answers, for those that tell no usage."""

    def __post_init__(self) -> None:
        """Looks what kind of limiter it is."""
        self._instant = self.limiter if isinstance(self.limiter, MemoryLimiter) else None

    async def admit(
        self,
        principal: Principal,
        call: Call,
        deployment: Deployment,
        *,
        window: str,
        admission: Admission | None = None,
    ) -> Admission:
        """Reserves rates and money; raises RateLimited or QuotaExceeded, and then nothing is reserved.

        `admission` is filled for a caller that wants to tell of the limits also where the money is not there.
        """
        admission = Admission() if admission is None else admission
        claims = self.claims(principal, call, deployment)
        if claims:
            instant = self._instant
            admission.reservation = (
                await self._reserve(claims) if instant is None else _granted(instant.admit(claims))
            )
        grant = principal.grant
        if (grant.prepaid or grant.budgets) and not deployment.price.is_free:
            most = most_of(call, deployment, window=window, factor=grant.price_factor)
            admission.hold = self.purse.draw(principal.org_id, most, payer=grant)
            if admission.hold is None:
                try:
                    admission.hold = await self.purse.reserve(principal.org_id, most, payer=grant)
                except BaseException:
                    if admission.reservation is not None:
                        await self.limiter.give_back(admission.reservation)
                    raise
        return admission

    async def enqueue(self, principal: Principal, call: Call, deployment: Deployment) -> Reservation | None:
        """Charges the rates for work that waits, which takes no place of those that run; raises RateLimited.

        To be settled once it has ended, whatever process it ends in; None where there are no rates.
        """
        claims = tuple(
            replace(claim, concurrency=None)
            for claim in self.claims(principal, call, deployment)
            if claim.rpm is not None or claim.tpm is not None
        )
        return await self._reserve(claims) if claims else None

    async def count(self, principal: Principal) -> Admission:
        """Charges one request and no tokens: an answer that is given again."""
        grant = principal.grant
        claims = [Claim(principal.org_id, grant.rpm, None, None, 0)] if grant.rpm is not None else []
        if grant.key_rpm is not None:
            claims.append(Claim(principal.key_id, grant.key_rpm, None, None, 0))
        return Admission(await self._reserve(tuple(claims)) if claims else None)

    async def leave(self, admission: Admission, *, tokens: int) -> None:
        """Settles the rates with the tokens that were really used; the hold is the inference's to release."""
        reservation = admission.reservation
        if reservation is None:
            return
        if self._instant is not None:
            self._instant.finish(reservation, tokens)
        else:
            await self.limiter.settle(reservation, tokens)

    def learn(self, deployment: str, *, size: int, tokens: int) -> None:
        """Moves the estimate of a model by what one of its answers counted."""
        if tokens > 0:
            known = self.ratios.get(deployment, BYTES_A_TOKEN)
            self.ratios[deployment] = known + LEARNING * (size / tokens - known)

    def claims(self, principal: Principal, call: Call, deployment: Deployment) -> tuple[Claim, ...]:
        """What the request asks of its organization and of its key; nothing where neither has a limit."""
        grant = principal.grant
        limited = grant.rpm is not None or grant.tpm is not None or grant.concurrency is not None
        own = grant.key_rpm is not None or grant.key_tpm is not None
        if not limited and not own:
            return ()
        tokens = self.estimate(call, deployment) if grant.tpm is not None or grant.key_tpm is not None else 0
        claims: tuple[Claim, ...] = ()
        if limited:
            claims = (Claim(principal.org_id, grant.rpm, grant.tpm, grant.concurrency, tokens),)
        if own:
            claims += (Claim(principal.key_id, grant.key_rpm, grant.key_tpm, None, tokens),)
        return claims

    def estimate(self, call: Call, deployment: Deployment) -> int:
        """Tokens that the request will probably use, its answer at its longest where that is known."""
        read, written = self.estimates_of(call, deployment)
        return read + written

    def estimates_of(self, call: Call, deployment: Deployment) -> tuple[int, int]:
        """The same apart: tokens read, and tokens written."""
        ratio = self.ratios.get(deployment.name, BYTES_A_TOKEN)
        answer = USUAL_ANSWER if call.max_tokens is None else call.max_tokens
        if deployment.context is not None:
            answer = min(answer, deployment.context)
        read = math.ceil((call.size + deployment.added) / ratio)
        return read, answer * max(call.n, call.drafts)

    async def _reserve(self, claims: tuple[Claim, ...]) -> Reservation:
        return _granted(await self.limiter.reserve(claims))


def most_of(call: Call, deployment: Deployment, *, window: str, factor: int) -> int:
    """The most that a call could cost."""
    return deployment.price.most(
        input_tokens=call.size + deployment.added + MEDIA_TOKENS * max(_media(call.body.data), _shown(call)),
        output_tokens=_longest(call, deployment),
        window=window,
        factor=factor,
    )


def _shown(call: Call) -> int:
    """How many images a call shows; a file that it names may hold pages of them."""
    if not call.files:
        return len(call.images)
    return len(call.images) + sum(1 if file.kind == "image" else _DOCUMENT_IMAGES for file in call.files)


def _granted(outcome: Reservation | Refused) -> Reservation:
    if isinstance(outcome, Refused):
        raise _refusal(outcome)
    return outcome


def _longest(call: Call, deployment: Deployment) -> int:
    most = call.max_tokens
    bound = deployment.context or LONGEST_ANSWER
    return (bound if most is None else most) * max(call.n, call.drafts)


def _media(body: bytes) -> int:
    """How many parts of the body may be more than text; each names its kind twice, blocks of messages once."""
    if _ANY_MEDIA.search(body) is None:  # once over it instead of five times
        return 0
    image, document = _BLOCKS
    most = body.count(image) + _DOCUMENT_IMAGES * body.count(document)
    for mark in _MEDIA:
        if mark in body:
            most += (body.count(mark) + 1) // 2
    return most


def _refusal(refused: Refused) -> RateLimited:
    what = f"{refused.allowed:,} {_NAMES[refused.limit]}"
    if refused.beyond:
        text = f"This request alone asks for more than the limit of {what}. Shorten it, or lower max_tokens."
        return LimitReached(text, refused, hopeless=True)
    text = f"The limit of {what} is reached. Try again in {max(1, math.ceil(refused.retry_after))} s."
    return LimitReached(text, refused)
