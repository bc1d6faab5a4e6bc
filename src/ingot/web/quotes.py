"""`/v1/quotes` and `/v1/windows` on the wire.

    POST    /v1/quotes      a price and a time for a body of any surface, or for a batch
    GET     /v1/windows     the completion windows, and how often each was kept

Reads bodies as their own surfaces would read them, so that what is wrong with one is told in the same words, by its place in
this one. Sums are the services' to make.
"""

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, Final

import msgspec
from msgspec import UNSET, Struct
from starlette.requests import Request
from starlette.responses import Response

from ingot import rawjson
from ingot.catalog import Deployment
from ingot.dialects import quotes as wire
from ingot.dialects.dialect import Call, Dialect
from ingot.dialects.quotes import DAY, CreateQuote, QuoteObject, WindowQuote
from ingot.errors import ApiError, InvalidRequest, NotFound
from ingot.rawjson import clip
from ingot.services.asking import place
from ingot.services.background import wanted
from ingot.services.files import Files, on_disk
from ingot.services.grants import deployment_for, deployments_for
from ingot.services.hitrates import HitRates
from ingot.services.keys import Principal
from ingot.services.quotes import Portion, check_batch, expected_output, most_cost, quote, sized
from ingot.services.runtime import Runtime
from ingot.web.intake import read_bounded
from ingot.web.once import JSON, Caller
from ingot.web.query import Pages
from ingot.windows import batchable

PATH: Final = "/v1/quotes"
WINDOWS: Final = "/v1/windows"
CHECKED: Final = 100
"""Requests of a batch that are read as their surface would read them; of the rest the size is looked at."""
BYTES_A_TOKEN: Final = 3.0

Runtimes = Callable[[], Runtime]
"""The runtime of now: a reload replaces it."""


class Sketch(Struct, frozen=True):
    """Of a request, what its size is estimated by."""

    model: str
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    n: int | None = None


class Line(Struct, frozen=True):
    """A line of a file of requests."""

    custom_id: str
    body: msgspec.Raw
    url: str | None = None


_line = msgspec.json.Decoder(Line)
_sketch = msgspec.json.Decoder(Sketch)
_encode = msgspec.json.Encoder().encode


def pages(runtime: Runtimes, dialects: Mapping[str, Dialect], files: Files, *, caller: Caller) -> Pages:
    """The handler of quotes; `dialects` are those that are asked, by their paths."""

    async def create(request: Request) -> Response:
        who = await caller(request)
        now = runtime()
        data = await read_bounded(request, now.config.limits.image_body_bytes)
        asked = await asyncio.to_thread(lambda: wire.decode(rawjson.parse(data).value))
        desk = _Counter(now, who, dialects, files)
        return Response(wire.encode(await desk.answer(asked)), media_type=JSON)

    return {PATH: {"POST": create}}


def window_pages(runtime: Runtimes, rates: HitRates, *, caller: Caller) -> Pages:
    """The handler of windows."""

    async def windows(request: Request) -> Response:
        who = await caller(request)
        now = runtime()
        listed = deployments_for(now.catalog, who.grant)
        return Response(wire.encode(await rates.read(now.catalog.windows, listed)), media_type=JSON)

    return {WINDOWS: {"GET": windows}}


class _Counter:
    """Answers one request for a quote."""

    def __init__(
        self, runtime: Runtime, who: Principal, dialects: Mapping[str, Dialect], files: Files
    ) -> None:
        self._runtime = runtime
        self._who = who
        self._dialects = dialects
        self._files = files

    async def answer(self, asked: CreateQuote) -> QuoteObject:
        """The quote; raises ApiError that names the field."""
        dialect = self._dialects.get(asked.endpoint)
        if dialect is None:
            raise InvalidRequest(
                f"Invalid value for 'endpoint': expected one of {', '.join(sorted(self._dialects))}, but got "
                f"'{clip(asked.endpoint)}'.",
                param="endpoint",
            )
        if asked.body is not UNSET:
            return await self._single(asked, dialect, asked.body)
        portions = await self._portions(asked, dialect)
        window = self._batch_window(asked, portions)
        return await self._told(asked, portions, window=window, batch=True, waits=True)

    async def _single(self, asked: CreateQuote, dialect: Dialect, body: dict[str, Any]) -> QuoteObject:
        call = self._decoded(dialect, body, "body")
        try:
            deployment = deployment_for(self._runtime.catalog, self._who.grant, model=call.model)
            background = wanted(self._runtime.preset, dialect, call.body.value)
            window = place(self._runtime.catalog, call, deployment, background=background)
        except ApiError as error:
            raise _within("body", error) from error
        if asked.completion_window is not None:
            window = self._offered(deployment, asked.completion_window)
            background = background or window != "asap"
        portion = Portion(deployment)
        sized(self._runtime, call, portion)
        portion.most = most_cost(call, self._who, portion, window)
        return await self._told(asked, [portion], window=window, batch=False, waits=background, call=call)

    async def _told(
        self,
        asked: CreateQuote,
        portions: list[Portion],
        *,
        window: str,
        batch: bool,
        waits: bool,
        call: Call | None = None,
    ) -> QuoteObject:
        runtime = self._runtime
        first = await quote(runtime, self._who, portions, window=window, batch=batch, waits=waits)
        more: list[WindowQuote] = []
        for name in self._common(portions, batch=batch) if asked.windows == "all" else ():
            if call is not None:
                portions[0].most = most_cost(call, self._who, portions[0], name)
            more.append(
                first
                if name == window and waits
                else await quote(
                    runtime, self._who, portions, window=name, batch=batch, waits=batch or name != "asap"
                )
            )
        return QuoteObject(
            **{name: getattr(first, name) for name in WindowQuote.__struct_fields__},
            created_at=round(runtime.clock.now(), 3),
            endpoint=asked.endpoint,
            models=[each.deployment.name for each in portions],
            batch=batch,
            requests=sum(each.items for each in portions),
            input_tokens=sum(each.read for each in portions),
            output_tokens=sum(each.written for each in portions),
            expected_output_tokens=sum(expected_output(runtime, each) for each in portions),
            windows=more if asked.windows == "all" else UNSET,
        )

    # ---- windows

    def _batch_window(self, asked: CreateQuote, portions: list[Portion]) -> str:
        name = asked.completion_window
        if name is None or name == DAY:
            fitting = self._common(portions, batch=True)
            name = "standard" if "standard" in fitting or not fitting else fitting[0]
        for each in portions:
            check_batch(self._runtime, each.deployment, name)
        return name

    def _offered(self, deployment: Deployment, name: str) -> str:
        if name in deployment.windows:
            return name
        raise InvalidRequest(
            f"Invalid value for 'completion_window': the model '{deployment.name}' is offered in "
            f"{', '.join(repr(each) for each in deployment.windows)}, not in '{clip(name)}'.",
            param="completion_window",
            code="unsupported_value",
        )

    def _common(self, portions: list[Portion], *, batch: bool) -> list[str]:
        """The windows that all of these models are offered in."""
        known = self._runtime.catalog.windows
        offered = [
            batchable(each.deployment.windows, known) if batch else each.deployment.windows
            for each in portions
        ]
        return [name for name in offered[0] if all(name in each for each in offered)]

    # ---- sizes

    async def _portions(self, asked: CreateQuote, dialect: Dialect) -> list[Portion]:
        found: dict[str, Portion] = {}
        if asked.count is not UNSET and asked.model is not UNSET:
            portion = self._portion(found, asked.model, "model")
            read = asked.input_tokens or 0
            written = asked.output_tokens or 0
            portion.add(read, written)
            portion.items = asked.count
            portion.read, portion.read_most = read * asked.count, read * asked.count
            portion.written, portion.written_most = written * asked.count, written * asked.count
        elif asked.requests is not UNSET:
            pieces = asked.requests

            def count() -> None:
                for number, each in enumerate(pieces):
                    self._count(found, dialect, each.params, f"requests[{number}].params", number)

            await asyncio.to_thread(count)
        elif asked.input_file_id is not UNSET:
            handle, _ = await self._file(asked.input_file_id)
            await on_disk(lambda: self._count_file(found, dialect, asked.endpoint, handle))
        return list(found.values())

    async def _file(self, which: str) -> tuple[BinaryIO, Any]:
        try:
            return await self._files.content(self._who.org_id, which)
        except NotFound as error:
            error.param = "input_file_id"
            raise

    def _count_file(
        self, found: dict[str, Portion], dialect: Dialect, endpoint: str, handle: BinaryIO
    ) -> None:
        with handle:
            for number, text in _lines(handle):
                where = f"line {number + 1}"
                try:
                    line = _line.decode(text)
                except msgspec.DecodeError as error:
                    raise InvalidRequest(
                        f"The file's {where} is no request with 'custom_id' and 'body': {clip(str(error))}.",
                        param="input_file_id",
                    ) from error
                if line.url is not None and line.url != endpoint:
                    raise InvalidRequest(
                        f"The file's {where} is for '{clip(line.url)}', and the quote for '{endpoint}'.",
                        param="input_file_id",
                    )
                if number >= wire.MOST_REQUESTS:
                    raise InvalidRequest(
                        f"The file has more than {wire.MOST_REQUESTS:,} requests.", param="input_file_id"
                    )
                try:
                    self._count(found, dialect, bytes(line.body), f"{where}: body", number)
                except ApiError as error:
                    raise InvalidRequest(
                        f"The file's {where}: {error.message}", param="input_file_id", code=error.code
                    ) from error
        if not found:
            raise InvalidRequest("The file holds no request.", param="input_file_id")

    def _count(
        self,
        found: dict[str, Portion],
        dialect: Dialect,
        body: dict[str, Any] | bytes,
        where: str,
        number: int,
    ) -> None:
        data = body if isinstance(body, bytes) else _encode(body)
        if number < CHECKED:
            call = self._decoded(dialect, data, where)
            sized(self._runtime, call, self._portion(found, call.model, f"{where}.model"))
            return
        try:
            told = _sketch.decode(data)
        except msgspec.DecodeError as error:
            raise InvalidRequest(f"'{where}' is no request: {clip(str(error))}.", param=where) from error
        portion = self._portion(found, told.model, f"{where}.model")
        most = told.max_completion_tokens or told.max_output_tokens or told.max_tokens
        written = (most or portion.written // portion.items if portion.items else most or 0) * (told.n or 1)
        portion.add(math.ceil(len(data) / BYTES_A_TOKEN), written, read_most=len(data))

    def _portion(self, found: dict[str, Portion], model: str, where: str) -> Portion:
        known = found.get(model)
        if known is None:
            try:
                deployment = deployment_for(self._runtime.catalog, self._who.grant, model=model)
            except ApiError as error:
                error.param = where
                raise
            known = found[model] = Portion(deployment)
        return known

    def _decoded(self, dialect: Dialect, body: dict[str, Any] | bytes, where: str) -> Call:
        try:
            return dialect.decode(body if isinstance(body, bytes) else _encode(body))
        except ApiError as error:
            raise _within(where, error) from error


def _lines(handle: BinaryIO) -> Iterator[tuple[int, bytes]]:
    number = 0
    for text in handle:
        if text.strip():
            yield number, text
            number += 1


def _within(where: str, error: ApiError) -> ApiError:
    """The same error, with its place in the request for a quote."""
    error.param = where if error.param is None else f"{where}.{error.param}"
    error.message = f"In '{where}': {error.message}"
    error.args = (error.message,)
    return error
