"""From a call to an opened reply: tries targets in turn until one answers, before the client has got a byte.

What is retried: 408, 409, 429, 5xx, connections that fail or are lost, answers that are not what they claim.
What is not: the other 4xx. They are the client's to mend and come back in its dialect, cleaned.
"""

import asyncio
from collections.abc import Sequence
from typing import Never

import msgspec
from msgspec import Struct

from ingot.canonical import Losses
from ingot.catalog import Route
from ingot.dialects.cuts import check_text
from ingot.dialects.dialect import AS_IT_IS, Call, Turn, Usage
from ingot.dialects.outgoing import dropped
from ingot.errors import (
    ApiError,
    ClientError,
    UpstreamError,
    UpstreamUnavailable,
)
from ingot.services.door import Fidelity, Inference, Outcome
from ingot.services.fitting import Unfit, fit, routes_with_images, worse
from ingot.services.outages import explain, unavailable
from ingot.services.places import own_places
from ingot.services.refusals import Refusal, read_refusal
from ingot.services.routing import LONGEST_WAIT, Busy, backoff, choose, has_fresh, routes_served
from ingot.services.runtime import Runtime
from ingot.services.translation import Translation
from ingot.sse import SseSplitter, event_data
from ingot.upstream.client import (
    Reply,
    UpstreamFault,
)
from ingot.upstream.engine import EngineDown
from ingot.upstream.link import Link, retry_after

REFUSAL_LIMIT = 256 * 1024
SUCCESS = range(200, 300)


class Opened(Struct):
    """A reply that may be given to the client: a whole `body`, or the first `piece` of a stream."""

    route: Route
    link: Link
    reply: Reply
    began: float = 0.0
    body: bytes = b""
    piece: bytes = b""
    usage: Usage | None = None
    content_type: bytes = b"application/json"
    translation: Translation | None = None
    """Where the target does not speak the client's dialect; `body` is the client's already."""
    turn: Turn = AS_IT_IS
    """How a stream is turned back; a whole body has been already."""
    fidelity: Fidelity = "verbatim"
    losses: Losses = ()
    """What its target was not sent, though it speaks the client's dialect."""
    item: str = ""
    """The queued one that it is for: nobody waits for it, and what it meets tells others little of the target."""

    def fail(self) -> None:
        """Notes that the target failed."""
        self.link.fail(self.began, item=self.item)


class Retryable(Exception):
    """This try failed and another may succeed; carries what the client is told if none does."""

    def __init__(self, error: ApiError, *, wait: float | None = None, stale: bool = False) -> None:
        super().__init__(error.message)
        self.error = error
        self.wait = wait
        self.stale = stale


async def open_reply(runtime: Runtime, inference: Inference, outcome: Outcome) -> Opened:
    """The first reply that may be given on, its `link.release(reply)` owed; what is raised comes from Unfit where no target fits."""
    deployment = inference.deployment
    links = runtime.fleet.links
    dialect = inference.dialect
    routes = routes_served(deployment, dialect, inference.surface)
    call = inference.call
    if call.files or call.images:
        with own_places(dialect, call):
            routes, call = await as_sent(runtime, inference, routes)
    weighted = deployment.strategy == "weighted"
    queued = inference.claim is not None
    tried: set[str] = set()
    last: ApiError | None = None
    refused: ClientError | None = None
    attempt = 0
    stale = False
    waited = 0.0
    while True:
        choice = choose(
            routes,
            links,
            dialect=dialect.format,
            weighted=weighted,
            tried=tried,
            now=runtime.clock.monotonic(),
            rng=runtime.rng,
            queued=queued,
        )
        if isinstance(choice, Busy):
            waited += choice.seconds
            if waited > LONGEST_WAIT:
                raise unavailable(runtime, inference, choice.seconds, last)
            await asyncio.sleep(choice.seconds)
            continue
        outcome.target = choice.route.target.name
        outcome.attempts = attempt + 1
        try:
            return await _try(runtime, inference, call, route=choice.route, link=choice.link)
        except Unfit as unfit:
            refused = worse(refused, unfit.error)
            routes = [route for route in routes if route is not choice.route]  # another may take all of it
            if not routes:
                raise refused from unfit
        except Retryable as failure:
            last = failure.error
            _note(runtime, inference, choice.route, failure)
            if failure.stale and not stale:
                stale = True  # a kept connection had died, as they do; only once, or a deadly request spends them all
                continue
            attempt += 1
            if attempt >= deployment.attempts:
                raise failure.error from failure
            tried.add(choice.route.target.name)
            if has_fresh(routes, links, tried=tried, now=runtime.clock.monotonic(), queued=queued):
                continue
            tried.clear()
            if failure.wait is not None and failure.wait > LONGEST_WAIT:
                raise failure.error from failure
            await asyncio.sleep(backoff(attempt - 1, runtime.rng) if failure.wait is None else failure.wait)


async def as_sent(
    runtime: Runtime, inference: Inference, routes: Sequence[Route]
) -> tuple[Sequence[Route], Call]:
    """The routes that can take the call, and the call with its files read and its images fetched."""
    call, deployment = inference.call, inference.deployment
    if call.files:
        call = await runtime.attachments.put_in(
            call, inference.principal.org_id, deployment, dialect=inference.dialect
        )
    if call.images:
        routes = routes_with_images(routes, inference, call)
        call = await runtime.images.fetch(call, deployment, inference.dialect)
    return routes, call


async def _try(runtime: Runtime, inference: Inference, call: Call, *, route: Route, link: Link) -> Opened:
    """One try; `call` is the inference's own with its images fetched."""
    fitted = await fit(inference, call, route)
    call, body, translation = fitted.call, fitted.body, fitted.translation
    losses = call.losses if translation else call.losses + dropped(call, route.target.quirks)
    item = "" if inference.claim is None else inference.response_id
    began = runtime.clock.monotonic()
    try:
        reply = await _send(inference, link, body, translation)
    except UpstreamFault as fault:
        if not fault.stale:
            link.fail(began, item=item)
        raise Retryable(explain(fault, route), stale=fault.stale) from fault
    except EngineDown as down:
        error = UpstreamUnavailable(f"The embedded engine is starting: {down}", retry_after=down.retry_after)
        raise Retryable(error, wait=down.retry_after) from down
    opened = Opened(route, link, reply, began, translation=translation, losses=losses, item=item)
    if translation is None:
        opened.turn = inference.dialect.turn_of(call, route.target.quirks, inference.deployment.refusal_mark)
    opened.fidelity = _fidelity(inference, call, opened)
    try:
        if reply.status not in SUCCESS:
            await _refuse(runtime, opened)
        if inference.call.stream:
            await _open_stream(opened)
        else:
            await _open_answer(inference, opened, limit=runtime.config.limits.reply_bytes)
    except UpstreamFault as fault:
        opened.fail()
        link.release(reply)
        raise Retryable(explain(fault, route)) from fault
    except BaseException:
        link.give_up(reply)
        raise
    if not link.breaker.calm:
        link.breaker.succeed()
    return opened


def _fidelity(inference: Inference, call: Call, opened: Opened) -> Fidelity:
    """How near the exchange stays to its target's own bytes."""
    deployment = inference.deployment
    if opened.translation is not None or opened.turn.kind == "call":
        return "translated"
    same = call is inference.call and inference.asked is None
    same = same and opened.route.model == deployment.name and deployment.constitution is None
    own = inference.dialect.reshape is None and inference.dialect.stamp_answer is None
    return "verbatim" if same and own else "patched"


async def _send(inference: Inference, link: Link, body: bytes, translation: Translation | None) -> Reply:
    accept = b"text/event-stream" if inference.call.stream else b"application/json"
    dialect, headers = inference.dialect, inference.call.headers
    if translation is not None:
        dialect, headers = translation.wire.dialect, translation.wire.headers
    return await link.send(
        dialect.path,
        body,
        request_id=inference.id,
        accept=accept,
        key_header=dialect.key_header,
        headers=headers,
        queued=inference.claim is not None,
    )


async def _open_answer(inference: Inference, opened: Opened, *, limit: int) -> None:
    reply = opened.reply
    opened.body = await reply.read(limit)
    told = reply.header(b"content-type") or b""
    if told.startswith(b"application/json"):
        opened.content_type = told
    name = opened.route.target.name
    if b'"error"' in opened.body and _is_error(opened.body):
        opened.fail()
        raise Retryable(UpstreamError(f"The target '{name}' answered 200 with an error in the body."))
    try:
        # What is skipped for its usage is not read as text, and a client, a result file, a store would be given it.
        check_text(opened.body)
        if opened.translation is None:
            opened.usage = inference.dialect.read_usage(opened.body, path=opened.route.target.quirks.usage)
        else:
            opened.body, opened.usage = await opened.translation.answer(opened.body)
        if opened.turn is not AS_IT_IS:
            opened.body = inference.dialect.turn_back(opened.body, opened.turn)
    except (ValueError, RecursionError) as error:
        opened.fail()
        raise Retryable(
            UpstreamError(
                f"The target '{opened.route.target.name}' answered 200 with a body that is no answer."
            )
        ) from error


def _is_error(body: bytes) -> bool:
    """Whether an answer that claims success holds an error at its top level, and no result beside it."""
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return False
    return (
        isinstance(value, dict)
        and bool(value.get("error"))
        and not (value.get("choices") or value.get("data"))
    )


async def _open_stream(opened: Opened) -> None:
    reply = opened.reply
    name = opened.route.target.name
    content_type = reply.header(b"content-type") or b""
    if not content_type.startswith(b"text/event-stream"):
        opened.fail()
        raise Retryable(UpstreamError(f"The target '{name}' was asked for a stream and did not send one."))
    opened.content_type = content_type
    opened.piece = await reply.chunk()
    if not opened.piece:
        opened.fail()
        raise Retryable(UpstreamError(f"The target '{name}' ended its stream before the first event."))
    if b'"error"' in opened.piece:
        refusal = _first_event_error(opened.piece)
        if refusal is not None:
            opened.fail()
            raise Retryable(UpstreamError(f"The target '{name}' failed before its answer began."))


def _first_event_error(piece: bytes) -> Refusal | None:
    """What an error object in the very first event says: nothing was given yet, so another try is free."""
    events = SseSplitter().feed(piece)
    data = event_data(events[0]) if events else None
    return read_refusal(data) if data else None


async def _refuse(runtime: Runtime, opened: Opened) -> Never:
    """Turns a reply that is no success into the error that fits."""
    route, link, reply = opened.route, opened.link, opened.reply
    wait = retry_after(reply, runtime.clock.now())
    refusal = read_refusal(await reply.read(REFUSAL_LIMIT)) or Refusal.unreadable(reply.status)
    if opened.translation is not None:
        refusal = refusal.of_translated(opened.translation.wire.codec.name)
    error = refusal.as_error(
        reply.status, target=route.target.name, deployment_model=route.model, retry_after=wait
    )
    if reply.status in (429, 503) and wait is not None:
        link.refuse(wait, queued=bool(opened.item))
    elif reply.status >= 500:
        opened.fail()
    else:
        link.breaker.succeed()
    if refusal.is_retryable(reply.status):
        raise Retryable(error, wait=wait)
    raise error


def _note(runtime: Runtime, inference: Inference, route: Route, failure: Retryable) -> None:
    cause = type(failure.__cause__).__name__ if failure.__cause__ else str(failure.error.status)
    runtime.measures.upstream_errors[route.target.name, cause] += 1
    runtime.log.warning(
        "upstream try failed",
        request_id=inference.id,
        target=route.target.name,
        deployment=inference.deployment.name,
        status=failure.error.status,
        code=failure.error.code,
        cause=cause,
        # A transport fault's own words are ours; a target's words may quote the prompt and stay out of the log.
        detail=str(failure.__cause__) if isinstance(failure.__cause__, UpstreamFault) else None,
    )
