"""The count of a request by a target that does not speak its client's dialect, at that target's own route for it.

    the client's request --translate--> the target's --post--> its count, or None where it has no such route

What a chat server does not offer there is no fault of it: only the embedded engine has to answer. Refuses to know estimates.
"""

import dataclasses

import msgspec

from ingot.dialects import tallies
from ingot.dialects.dialect import Call
from ingot.dialects.tallies import Told
from ingot.errors import UpstreamUnavailable
from ingot.services.attempts import REFUSAL_LIMIT, SUCCESS
from ingot.services.door import Inference
from ingot.services.fitting import fit
from ingot.services.outages import explain
from ingot.services.refusals import ADDRESS, Refusal, read_refusal
from ingot.services.routing import Choice
from ingot.services.runtime import Runtime
from ingot.services.translation import Translation
from ingot.upstream.client import UpstreamFault
from ingot.upstream.engine import EngineDown
from ingot.upstream.link import retry_after

_UNBUILT = 501


async def tally(
    runtime: Runtime, inference: Inference, call: Call, choice: Choice
) -> tuple[int | None, Translation]:
    """The target's count, None where it has none, and the translation that was counted; raises ApiError, Unfit."""
    dialect = inference.dialect
    spoken = msgspec.structs.replace(
        inference, dialect=dataclasses.replace(dialect, tongue=dialect.format, stamp_answer=None)
    )
    translation = (await fit(spoken, call, choice.route)).translation
    if translation is None:
        raise LookupError(choice.route.target.name)
    asking = _Asking(runtime, choice, translation, request_id=inference.id)
    return await asking.count(), translation


class _Asking:
    """One target that is asked for one count."""

    __slots__ = ("_choice", "_request_id", "_runtime", "_translation")

    def __init__(
        self, runtime: Runtime, choice: Choice, translation: Translation, *, request_id: str
    ) -> None:
        self._runtime = runtime
        self._choice = choice
        self._translation = translation
        self._request_id = request_id

    async def count(self) -> int | None:
        """The count, by the route that the target has."""
        match self._translation.wire.dialect.name:
            case "messages":
                told = await self._post(tallies.MESSAGES)
            case "responses":
                told = await self._post(tallies.RESPONSES)
            case _:
                return await self._count_of_chat()
        return None if told is None else told.input_tokens

    async def _count_of_chat(self) -> int | None:
        told = await self._post(tallies.CHAT)
        if told is not None and told.input_tokens is not None:
            return told.input_tokens
        told = await self._post(tallies.TOKENIZE, root=True)
        if told is None or told.tokens is None or told.count is not None:
            return None if told is None else told.count
        made = await self._post(tallies.TEMPLATE, root=True)
        if made is None or made.prompt is None:
            return None
        told = await self._post(tallies.TOKENIZE, tallies.of_text(made.prompt), root=True)
        return None if told is None or told.tokens is None else len(told.tokens)

    async def _post(self, path: str, body: bytes | None = None, *, root: bool = False) -> Told | None:
        """What the target says; None where it knows no such route."""
        runtime, route, link = self._runtime, self._choice.route, self._choice.link
        wire = self._translation.wire
        began = runtime.clock.monotonic()
        try:
            reply = await link.send(
                path,
                tallies.fitted(self._translation.body, path) if body is None else body,
                request_id=self._request_id,
                accept=b"application/json",
                key_header=wire.dialect.key_header,
                headers=wire.headers,
                root=root,
            )
            try:
                answer = await reply.read(
                    runtime.config.limits.reply_bytes if reply.status in SUCCESS else REFUSAL_LIMIT
                )
            finally:
                link.release(reply)
        except UpstreamFault as fault:
            link.fail(began)
            raise explain(fault, route) from fault
        except EngineDown as down:
            raise UpstreamUnavailable(
                f"The embedded engine is starting: {down}", retry_after=down.retry_after
            ) from down
        if not link.breaker.calm:
            link.breaker.succeed()
        if reply.status in SUCCESS:
            return tallies.read(answer)
        if wire.dialect.name == "chat" or reply.status in ADDRESS or reply.status == _UNBUILT:
            return None
        refusal = (read_refusal(answer) or Refusal.unreadable(reply.status)).of_translated(wire.codec.name)
        wait = retry_after(reply, runtime.clock.now())
        raise refusal.as_error(
            reply.status, target=route.target.name, deployment_model=route.model, retry_after=wait
        )
