"""What a quote is asked for, read as it would be if it were sent: a body as its surface reads it, a batch as batches do.

    body           --dialect----------------.
    requests, file --Intake, Surveyor--------+--> Survey: portions, by window --quotes--> QuoteObject
    count          --------------------------'

What would be refused is refused here in the same words, by its place in the request for the quote. Knows no HTTP.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import UNSET

from ingot import rawstream
from ingot.catalog import Deployment
from ingot.dialects import batches as batch_wire
from ingot.dialects.batch_lines import Named, read_line, read_request
from ingot.dialects.dialect import Call, Dialect
from ingot.dialects.quotes import CreateQuote, QuoteObject, WindowQuote
from ingot.errors import ApiError, InvalidRequest
from ingot.rawjson import clip
from ingot.scheduling.windows import STANDARD
from ingot.services.admission import most_of
from ingot.services.asking import place
from ingot.services.background import wanted
from ingot.services.batches.desk import OBJECT
from ingot.services.batches.intake import Intake, faulty, judge_for, too_many
from ingot.services.batches.reading import (
    VERSION,
    asked_window,
    check_purpose,
    next_lines,
    next_requests,
    place_in_body,
    reopened,
)
from ingot.services.batches.survey import Portion, Survey, Surveyor
from ingot.services.files import Files, on_disk, opened
from ingot.services.grants import deployment_for
from ingot.services.keys import Principal
from ingot.services.quotes import expected_output, quote
from ingot.services.runtime import Runtime
from ingot.store.blobs import Draft
from ingot.windows import batchable, usual

VERDICT: Final = "No batch would be taken with this"

_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class QuoteDesk:
    """Answers what one client asks; `dialects` has what may be asked by path, `batched` what batches are taken for."""

    runtime: Runtime
    who: Principal
    files: Files
    dialects: Mapping[str, Dialect]
    batched: Mapping[str, Dialect]

    async def answer(
        self, asked: CreateQuote, draft: Draft, *, inline: bool, headers: Mapping[bytes, bytes]
    ) -> QuoteObject:
        """The quote; `inline`: the requests of a batch stand in `draft`. Raises ApiError that names the field."""
        dialect = self.dialects.get(asked.endpoint)
        if dialect is None:
            raise InvalidRequest(
                f"Invalid value for 'endpoint': expected one of {', '.join(sorted(self.dialects))}, but got "
                f"'{clip(asked.endpoint)}'.",
                param="endpoint",
            )
        if asked.body is not UNSET:
            return await self._single(asked, dialect, asked.body)
        batch_wire.check_endpoint(asked.endpoint, tuple(self.batched))
        if asked.count is not UNSET:
            survey = self._counted(asked)
        else:
            survey = await self._surveyed(asked, draft if inline else None, headers)
        return await self._told(asked, survey, window=self._last(survey[None]), batch=True, waits=True)

    # ---- one request

    async def _single(self, asked: CreateQuote, dialect: Dialect, body: dict[str, Any]) -> QuoteObject:
        call = await asyncio.to_thread(_decoded, dialect, body)
        try:
            deployment = deployment_for(self.runtime.catalog, self.who.grant, model=call.model)
            background = wanted(self.runtime.preset, dialect, call.body.value)
            window = place(self.runtime.catalog, call, deployment, background=background)
        except ApiError as error:
            raise _within("body", error) from error
        if asked.completion_window is not None:
            window = _offered(deployment, asked.completion_window)
            background = background or window != "asap"
        read, written = self.runtime.gate.estimates_of(call, deployment)

        def portions(name: str) -> list[Portion]:
            portion = Portion(deployment, name)
            most = most_of(call, deployment, window=name, factor=self.who.grant.price_factor)
            portion.add(read, written, most=most)
            return [portion]

        survey: Survey = {None: portions(window), **{name: portions(name) for name in deployment.windows}}
        return await self._told(asked, survey, window=window, batch=False, waits=background)

    # ---- batches

    def _counted(self, asked: CreateQuote) -> Survey:
        """A batch that is not written yet."""
        count, read, written = asked.count or 0, asked.input_tokens or 0, asked.output_tokens or 0
        if count > self.runtime.config.batches.requests:
            refusal = too_many(self.runtime.config.batches.requests)
            refusal.param = "count"
            raise refusal
        deployment = deployment_for(self.runtime.catalog, self.who.grant, model=asked.model or "")
        known = self.runtime.catalog.windows
        offered = batchable(deployment.windows, known)
        # As of a request in a batch: the batch's window where the model has it, else the usual one.
        window = usual(offered, unsaid=asked_window({"completion_window": asked.completion_window}, known))

        def portions(name: str) -> list[Portion]:
            portion = Portion(deployment, name)
            most = deployment.price.most(
                input_tokens=read * count,
                output_tokens=written * count,
                window=name,
                factor=self.who.grant.price_factor,
            )
            portion.add(read, written, most=most, items=count)
            return [portion]

        return {None: portions(window), **{name: portions(name) for name in offered}}

    async def _surveyed(
        self, asked: CreateQuote, draft: Draft | None, headers: Mapping[bytes, bytes]
    ) -> Survey:
        """A batch in full: in a body, or else in a file."""
        runtime, limits = self.runtime, self.runtime.config.batches
        known = runtime.catalog.windows
        window = asked_window({"completion_window": asked.completion_window}, known)
        others = [each.name for each in known.values() if each.batchable or each.name == STANDARD.name]
        sent = headers if draft is not None else VERSION
        dialect = self.batched[asked.endpoint]
        judge = judge_for(runtime, dialect, self.who, window=window, headers=sent)
        surveyor = Surveyor(judge, others if asked.windows == "all" else ())
        inline = draft is not None
        read: Callable[[bytes], Named] = (
            partial(read_request, taken=OBJECT.taken)
            if inline
            else partial(read_line, endpoint=asked.endpoint)
        )
        intake = Intake(
            surveyor,
            read,
            place=place_in_body if inline else _place_in_file,
            inside="params" if inline else "body",
            most=limits.requests,
            job_requests=limits.job_requests,
        )
        try:
            await (self._take_file(asked, intake) if draft is None else self._take_body(draft, intake))
            intake.rest()
        except ApiError as error:
            faults = [fault for _, fault in intake.faults]
            told = faulty(faults, verdict=VERDICT) if faults else error
            if not inline:
                told.param = "input_file_id"
            raise told from error
        return surveyor.survey()

    async def _take_body(self, draft: Draft, intake: Intake) -> None:
        values = rawstream.Values(batch_wire.REQUESTS, most=self.runtime.config.batches.request_bytes)
        with await opened(on_disk(partial(reopened, draft))) as spool:
            while (await asyncio.to_thread(next_requests, spool, values, intake))[0]:
                pass

    async def _take_file(self, asked: CreateQuote, intake: Intake) -> None:
        which = asked.input_file_id or ""
        handle, file = await self.files.content(self.who.org_id, which)
        lines = rawstream.Lines(most=self.runtime.config.batches.request_bytes)
        with handle:
            check_purpose(which, file.purpose)
            while (await asyncio.to_thread(next_lines, handle, lines, intake))[0]:
                pass

    # ---- told

    async def _told(
        self, asked: CreateQuote, survey: Survey, *, window: str, batch: bool, waits: bool
    ) -> QuoteObject:
        runtime, portions = self.runtime, survey[None]
        first = await quote(runtime, self.who, portions, window=window, batch=batch, waits=waits)
        more: list[WindowQuote] = []
        for name in self._common(portions, batch=batch) if asked.windows == "all" else ():
            if not batch and name == window and waits:
                more.append(first)
                continue
            told = await quote(
                runtime, self.who, survey[name], window=name, batch=batch, waits=batch or name != "asap"
            )
            more.append(told)
        return QuoteObject(
            **{name: getattr(first, name) for name in WindowQuote.__struct_fields__},
            created_at=round(runtime.clock.now(), 3),
            endpoint=asked.endpoint,
            models=list(dict.fromkeys(each.deployment.name for each in portions)),
            batch=batch,
            requests=sum(each.items for each in portions),
            input_tokens=sum(each.read for each in portions),
            output_tokens=sum(each.written for each in portions),
            expected_output_tokens=sum(expected_output(runtime, each) for each in portions),
            windows=more if asked.windows == "all" else UNSET,
        )

    def _last(self, portions: Sequence[Portion]) -> str:
        """The window of those in use that is due last."""
        known = self.runtime.catalog.windows
        return max(
            (each.window for each in portions),
            key=lambda name: (known[name].due(0.0, batch=True), known[name].seconds),
        )

    def _common(self, portions: Sequence[Portion], *, batch: bool) -> list[str]:
        """The windows that all of these models are offered in."""
        known = self.runtime.catalog.windows
        offered = [
            batchable(each.deployment.windows, known) if batch else each.deployment.windows
            for each in portions
        ]
        return [name for name in offered[0] if all(name in each for each in offered)]


def _place_in_file(number: int) -> str:
    return f"line {number}"


def _offered(deployment: Deployment, name: str) -> str:
    if name in deployment.windows:
        return name
    raise InvalidRequest(
        f"Invalid value for 'completion_window': the model '{deployment.name}' is offered in "
        f"{', '.join(repr(each) for each in deployment.windows)}, not in '{clip(name)}'.",
        param="completion_window",
        code="unsupported_value",
    )


def _decoded(dialect: Dialect, body: dict[str, Any]) -> Call:
    try:
        return dialect.decode(_encode(body))
    except ApiError as error:
        raise _within("body", error) from error


def _within(where: str, error: ApiError) -> ApiError:
    """The same error, with its place in the request for a quote."""
    error.param = where if error.param is None else f"{where}.{error.param}"
    error.message = f"In '{where}': {error.message}"
    error.args = (error.message,)
    return error
