"""The requests of a batch, judged one by one as they come, and gathered into jobs of like ones.

    bytes --read--> name, body --judge--> Judged: model, window, estimates --gather--> Chunk, once it is full
                        '-- fault ---> at most `MOST_FAULTS` are told, and then reading stops

What can be refused is refused here, before anything of the batch runs: names, models, windows, fields, images and URLs as
far as they tell without being looked up, and what no target of its model takes. What only a run shows, as an image that
cannot be fetched, fails that request alone. Works on threads; knows no store.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from ingot import windows
from ingot.catalog import Catalog, Deployment
from ingot.dialects.batch_lines import Named, placed
from ingot.dialects.dialect import Call, Dialect
from ingot.errors import ApiError, InvalidRequest
from ingot.services.admission import Gate, most_of
from ingot.services.batches.fits import Fits, fits_for
from ingot.services.grants import Grant, deployment_for
from ingot.services.images import Images
from ingot.services.keys import Principal
from ingot.services.prefixes import prefix_of
from ingot.services.routing import routes_served
from ingot.services.runtime import Runtime
from ingot.services.webhooks.orders import URL
from ingot.store.batches import MOST_JOB_BYTES

MOST_FAULTS: Final = 10
MOST_TOKENS: Final = 2**31
"""Tokens of one answer: no model writes so many, and what waits is summed in 64 bits."""
MOST_COST: Final = 2**53
"""1e-12 USD that one request may cost: some 9,000 USD."""
_BOUNDS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens", "n")
MOST_HELD_BYTES: Final = 8 * 1024 * 1024
"""Of requests that are not yet in a job; when they are more, the largest group makes a small one."""

NOT_TAKEN: Final = "Nothing of the batch was taken"

_encode: Final = msgspec.json.Encoder().encode


class Judged(Struct, frozen=True, gc=False):
    """A request that may run: `most` is the most that it could cost, in 1e-12 USD, `read` and `written` are tokens."""

    custom_id: str
    body: bytes
    headers: str | None
    model: str
    window: str
    read: int
    written: int
    most: int
    prefix: str = ""
    """How its prompt begins."""
    wish: Mapping[str, Any] | None = None
    """Its metadata, where they say whom to call when it is done."""


class Chunk(Struct, frozen=True):
    """Requests of one model and one window, to be one job."""

    model: str
    window: str
    members: list[Judged]


class Judging(Protocol):
    """Whoever decides whether a request may be in a batch."""

    def judge(self, named: Named) -> Judged:
        """Raises ApiError, whose `param` is a place within the body."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Decides whether a request may be in a batch, for whoever sent it and the surface that it is for."""

    catalog: Catalog
    gate: Gate
    dialect: Dialect
    grant: Grant
    window: str | None
    """That of requests which name none, where their model has it."""
    headers: Mapping[bytes, bytes]
    """Those of the batch's own request: they count for each of its requests."""
    fits: Fits
    images: Images

    def judge(self, named: Named) -> Judged:
        """Raises ApiError, whose `param` is a place within the body."""
        call, deployment = self.read(named)
        return self.weigh(named, call, deployment)

    def read(self, named: Named) -> tuple[Call, Deployment]:
        """What a request asks, and of whom; raises ApiError like `judge`."""
        call = self.dialect.decode(named.body)
        if self.dialect.take_headers is not None:
            call = self.dialect.take_headers(call, self.headers)
        value = call.body.value
        for name in ("stream", "background"):
            if value.get(name):
                raise InvalidRequest(
                    f"'{name}' is not for requests of a batch: nobody waits for their answers. Leave it out.",
                    param=name,
                )
        deployment = deployment_for(self.catalog, self.grant, model=call.model)
        routes_served(deployment, self.dialect, f"/v1{self.dialect.surface}")
        return call, deployment

    def choose(self, call: Call, deployment: Deployment) -> str:
        """The window of a request; raises ApiError like `judge`."""
        known = self.catalog.windows
        return windows.choose(
            call.body.value,
            windows.batchable(deployment.windows, known),
            windows=known,
            background=True,
            unsaid=self.window,
        )

    def most(self, call: Call, deployment: Deployment, window: str) -> int:
        """The most that a request could cost in a window."""
        if deployment.price.is_free:
            return 0
        return most_of(call, deployment, window=window, factor=self.grant.price_factor)

    def weigh(self, named: Named, call: Call, deployment: Deployment) -> Judged:
        """A request that was read, with its window and what it may come to; raises ApiError like `judge`."""
        window = self.choose(call, deployment)
        self.images.judge(call, deployment)
        self.fits.check(call, deployment, window)
        read, written = self.gate.estimates_of(call, deployment)
        most = self.most(call, deployment, window)
        if written > MOST_TOKENS or most > MOST_COST:
            raise _endless(call)
        return Judged(
            named.custom_id,
            windows.for_store(call.body).data,
            _encode(dict(call.headers)).decode() if call.headers else None,
            deployment.name,
            window,
            read,
            written,
            most,
            prefix_of(call.body.value),
            wish_of(call.body.value),
        )


def judge_for(
    runtime: Runtime, dialect: Dialect, who: Principal, *, window: str | None, headers: Mapping[bytes, bytes]
) -> Judge:
    """Who judges the requests of one batch of theirs; `window` and `headers` are the batch's own."""
    fits = fits_for(runtime, dialect, who)
    return Judge(runtime.catalog, runtime.gate, dialect, who.grant, window, headers, fits, runtime.images)


class Intake:
    """What has come so far of one batch's requests."""

    def __init__(
        self,
        judge: Judging,
        read: Callable[[bytes], Named],
        *,
        place: Callable[[int], str],
        inside: str,
        most: int,
        job_requests: int,
    ) -> None:
        """`place` says where the request with a number stands, `inside` where its body does; `most` requests are taken."""
        self.count = 0
        self.faults: list[tuple[int, InvalidRequest]] = []
        self._judge = judge
        self._read = read
        self._place = place
        self._inside = inside
        self._most = most
        self._job_requests = job_requests
        self._names: set[str] = set()
        self._groups: dict[tuple[str, str], list[Judged]] = {}
        self._sizes: dict[tuple[str, str], int] = {}

    def take(self, number: int, data: bytes) -> Chunk | None:
        """One more request; the job that is full with it. Raises InvalidRequest where there are too many, or too many faults."""
        self.count += 1
        if self.count > self._most:
            raise too_many(self._most)
        place = self._place(number)
        try:
            named = self._read(data)
            if named.custom_id in self._names:
                raise InvalidRequest(
                    f"The 'custom_id' '{named.custom_id}' is another request's, too. Give each its own.",
                    param="custom_id",
                    code="duplicate_custom_id",
                )
            self._names.add(named.custom_id)
        except ApiError as error:
            self._fault(number, placed(error, place))
            return None
        try:
            judged = self._judge.judge(named)
        except ApiError as error:
            self._fault(number, placed(error, place, inside=self._inside))
            return None
        return None if self.faults else self._gather(judged)

    def rest(self) -> list[Chunk]:
        """The jobs that are not full; raises InvalidRequest that tells all faults there were."""
        if self.faults:
            raise faulty([fault for _, fault in self.faults])
        found = [self._cut(key) for key in list(self._groups)]
        return [each for each in found if each.members]

    def _fault(self, number: int, fault: InvalidRequest) -> None:
        self.faults.append((number, fault))
        self._groups.clear()
        if len(self.faults) >= MOST_FAULTS:
            raise faulty([fault for _, fault in self.faults])

    def _gather(self, judged: Judged) -> Chunk | None:
        key = (judged.model, judged.window)
        size, held = len(judged.body), self._sizes.get(key, 0)
        full = None
        if held and held + size > MOST_JOB_BYTES:
            if size >= held:
                return Chunk(
                    *key, [judged]
                )  # what goes is never less than what comes: no more is held than before
            full = self._cut(key)
        self._groups.setdefault(key, []).append(judged)
        self._sizes[key] = self._sizes.get(key, 0) + size
        if full is None and len(self._groups[key]) >= self._job_requests:
            return self._cut(key)
        if full is None and sum(self._sizes.values()) > MOST_HELD_BYTES:
            return self._cut(max(self._sizes, key=lambda each: self._sizes[each]))
        return full

    def _cut(self, key: tuple[str, str]) -> Chunk:
        self._sizes.pop(key, None)
        return Chunk(*key, self._groups.pop(key, []))


def wish_of(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The metadata of a request that says whom to call when it is done."""
    pairs = value.get("metadata")
    return pairs if isinstance(pairs, dict) and pairs.get(URL) is not None else None


def _endless(call: Call) -> InvalidRequest:
    """The refusal of a request that may write more than could ever be paid."""
    said = next((name for name in _BOUNDS if call.body.value.get(name) is not None), _BOUNDS[0])
    return InvalidRequest(
        f"'{said}' lets the answer be longer than could be waited or paid for. Set it to what you need.",
        param=said,
        code="integer_above_max_value",
    )


def too_many(most: int) -> InvalidRequest:
    """The refusal of more requests than a batch takes."""
    return InvalidRequest(
        f"A batch takes at most {most:,} requests. Send the rest in another one.",
        param="requests",
        code="array_above_max_length",
    )


def faulty(faults: list[InvalidRequest], *, verdict: str = NOT_TAKEN) -> InvalidRequest:
    """The refusal of a batch for these faults, which stands where the first one does."""
    first = faults[0]
    if len(faults) == 1:
        return InvalidRequest(f"{first.message} {verdict}.", param=first.param, code=first.code)
    told = " ".join(f"({number}) {each.message}" for number, each in enumerate(faults, 1))
    return InvalidRequest(
        f"{verdict}; the first {len(faults)} faults are: {told}",
        param=first.param,
        code=first.code,
    )
