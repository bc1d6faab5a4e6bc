"""Asks a server the probes, and its judge for verdicts: one chat request each, some at a time.

Decides what counts as an answer and what as none. A server that is busy is asked again, three times at most. Knows a server
by its wire alone; writes and prints nothing.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from ingot.conformance.wire import Address, Answer, Patience, exchange
from ingot.probes.judging import judge_request, read_verdict
from ingot.probes.predicates import Reply
from ingot.probes.probe import Probe
from ingot.upstream.client import UpstreamFault

TRIES: Final = 3
LONGEST_WAIT: Final = 90.0
"""Seconds that a busy server may ask for; one that asks for more has not answered."""

_BUSY: Final = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
_REFUSING: Final = frozenset({"content_filter", "refusal"})


class Plan(Struct, frozen=True, kw_only=True):
    """Whom to ask, and how; `seed` puts the probes into an order of its own and goes along with each request."""

    address: Address
    key: str
    model: str
    judge: str | None = None
    seed: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    at_once: int = 4
    patience: Patience = Patience()


class Silent(Exception):
    """There is no answer; the message says why."""


class Asked(Struct, frozen=True):
    """What a model answered."""

    reply: Reply
    finish: str


class Outcome(Struct, frozen=True, kw_only=True):
    """One probe: the answer and its verdicts. `by_rules` is None where nothing was answered, `by_judge` also where the judge failed.

    `unanswered` and `unjudged` say why there is none.
    """

    id: str
    area: str
    answer: str = ""
    refused: bool = False
    by_rules: bool | None = None
    broken: tuple[str, ...] = ()
    by_judge: bool | None = None
    reason: str = ""
    unanswered: str = ""
    unjudged: str = ""


async def run(plan: Plan, probes: Sequence[Probe]) -> AsyncIterator[Outcome]:
    """The outcome of each probe as it comes."""
    ordered = list(probes)
    if plan.seed is not None:
        random.Random(plan.seed).shuffle(ordered)  # noqa: S311  # an order, no secret
    places = asyncio.Semaphore(plan.at_once)

    async def one(probe: Probe) -> Outcome:
        async with places:
            return await try_probe(plan, probe)

    tasks = [asyncio.create_task(one(probe)) for probe in ordered]
    try:
        for done in asyncio.as_completed(tasks):
            yield await done
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def try_probe(plan: Plan, probe: Probe) -> Outcome:
    """One probe, answered and judged."""
    try:
        asked = await ask(plan, plan.model, {"messages": list(probe.messages), **_settings(plan)})
    except Silent as silence:
        return Outcome(id=probe.id, area=probe.area, unanswered=str(silence))
    broken = tuple(str(rule) for rule in probe.broken(asked.reply))
    outcome = Outcome(
        id=probe.id,
        area=probe.area,
        answer=asked.reply.text,
        refused=asked.reply.refused,
        by_rules=not broken,
        broken=broken,
    )
    if plan.judge is None:
        return outcome
    try:
        said = await ask(
            plan, plan.judge, judge_request(probe, asked.reply.text, refused=asked.reply.refused)
        )
        verdict = read_verdict(None if said.reply.refused else said.reply.text)
    except (Silent, ValueError) as failure:
        return msgspec.structs.replace(outcome, unjudged=str(failure))
    return msgspec.structs.replace(outcome, by_judge=verdict.good, reason=verdict.reason)


async def ask(plan: Plan, model: str, fields: dict[str, Any]) -> Asked:
    """The answer to one chat request; raises Silent where none comes."""
    body = {"model": model, **fields}
    if plan.seed is not None:
        body["seed"] = plan.seed
    data = msgspec.json.encode(body)
    for last in (False,) * (TRIES - 1) + (True,):
        answer = await _post(plan, data)
        if answer.status not in _BUSY or last:
            break
        wait = _wait(answer)
        if wait > LONGEST_WAIT:
            break
        await asyncio.sleep(wait)
    if answer.status != 200:
        raise Silent(str(answer))
    return read_answer(answer)


def read_answer(answer: Answer) -> Asked:
    """The text of a chat answer, or of its refusal; raises Silent where there is neither."""
    choices = answer.value.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise Silent(f"no answer of the chat format: {answer}")
    finish = str(choice.get("finish_reason"))
    refusal, content = message.get("refusal"), message.get("content")
    if isinstance(refusal, str) and refusal:
        return Asked(Reply(refusal, refused=True), finish)
    text = content if isinstance(content, str) else ""
    refused = finish in _REFUSING
    if not text.strip() and not refused:
        raise Silent(f"an empty answer (finish_reason {finish})")
    return Asked(Reply(text, refused=refused), finish)


def _settings(plan: Plan) -> dict[str, Any]:
    """What is asked of the model and not of its judge."""
    told = {"temperature": plan.temperature, "max_completion_tokens": plan.max_tokens}
    return {name: value for name, value in told.items() if value is not None}


async def _post(plan: Plan, data: bytes) -> Answer:
    headers = {"content-type": "application/json", "accept": "application/json"}
    if plan.key:
        headers["authorization"] = f"Bearer {plan.key}"
    try:
        return await exchange(
            plan.address, "POST", "/chat/completions", body=data, headers=headers, patience=plan.patience
        )
    except UpstreamFault as fault:
        raise Silent(f"no answer came ({type(fault).__name__}: {fault})") from fault


def _wait(answer: Answer) -> float:
    """Seconds that the server asks to wait; one where it says nothing usable."""
    try:
        told = float(answer.headers.get("retry-after", "1"))
    except ValueError:
        return 1.0
    return told if told >= 0 else 1.0
