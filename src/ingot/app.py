"""The composition root: makes every part of one process and joins them; the only place that chooses.

open    data directory, database, keys, engines, catalog, fleet -> Runtime
serve   listens until a signal; SIGHUP replaces catalog and targets, atomically
close   drains, then ends what was opened, in reverse
"""

import asyncio
import contextlib
import dataclasses
import functools
import gc
import logging
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ingot import catalog
from ingot.catalog import Catalog, EmbeddedModel
from ingot.clock import Clock, SystemClock
from ingot.config import Config, ConfigError, Loaded, bind_problem, is_loopback
from ingot.dialects.chat import CHAT
from ingot.logs import LineSink, Log, capture_stdlib, configure
from ingot.services.keys import KeyRing
from ingot.services.measures import Measures
from ingot.services.recording import Recorder
from ingot.services.runtime import Runtime
from ingot.store.engine import open_database
from ingot.upstream.client import Client
from ingot.upstream.engine import Engine, EngineSpec, Missing, engine_available
from ingot.upstream.engine.machine import free_memory
from ingot.upstream.engines import Engines
from ingot.upstream.fleet import Fleet
from ingot.upstream.weights.gguf import fit_model
from ingot.upstream.weights.library import Library, Model
from ingot.web import openapi, resources, server
from ingot.web.access import console_access, json_access
from ingot.web.asgi import Dispatcher
from ingot.web.errors import refusals
from ingot.web.hub import ConnectionLimits, Hub
from ingot.web.intake import LOOPBACK_HOSTS, Hosts
from ingot.web.surfaces import Inferences

Reload = Callable[[], Loaded]

DEMO_ANSWER = 1024
"""Tokens; a model this small may not find the end of an answer, least of all inside a grammar."""

WAITING_ROOM = 4
"""Requests that an engine holds for each slot: one runs, the others wait; more are told to come back."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the first lines on the terminal tell; `key` is there only when it was just made."""

    url: str
    key: str | None
    bootstrapped: bool
    models: tuple[str, ...]
    data: Path
    notes: tuple[str, ...]


class App:
    """One running process: its runtime, and the parts that a reload swaps under it."""

    def __init__(self, runtime: Runtime, engines: Engines, *, sink: LineSink) -> None:
        self.runtime = runtime
        self._engines = engines
        config = runtime.config
        hosts = Hosts(allowed_hosts(config))
        console = config.server.log_format == "console" or (
            config.server.log_format == "auto" and sys.stderr.isatty()
        )
        access = console_access(runtime.log) if console else json_access(sink)
        self._inferences = Inferences(runtime, hosts=hosts, access=access)
        self._state = resources.State(
            runtime,
            hosts=hosts,
            open_metrics=is_loopback(config.server.host),
            description=openapi.describe(),
        )
        limits = config.limits
        self.hub = Hub(
            Dispatcher(self._inferences, resources.build(self._state), access=access),
            limits=ConnectionLimits(
                headers=limits.headers,
                header_bytes=limits.header_bytes,
                request_seconds=limits.request_seconds,
                seconds_per_megabyte=limits.seconds_per_megabyte,
                idle_seconds=limits.idle_seconds,
                unread_seconds=limits.unread_seconds,
                buffer_bytes=limits.buffer_bytes,
            ),
            refuse=refusals(CHAT.encode_error, measures=runtime.measures, log=runtime.log),
        )

    def drain(self) -> None:
        """From now on `/readyz` says that no traffic belongs here."""
        self._state.draining = True
        self.runtime.log.info("draining", seconds=self.runtime.config.server.drain_seconds)

    def reload(self, reload: Reload) -> None:
        """Takes models, targets and prices from the configuration as it is now; all or nothing."""
        log = self.runtime.log
        try:
            config = reload().config
            specs, embedded = embedded_models(config)
            new = catalog.build(config, embedded, created=int(self.runtime.clock.now()))
        except (ConfigError, OSError) as error:
            log.error("reload refused, the old configuration stays", reason=str(error))
            return
        changes = self.runtime.catalog.diff(new)
        self._engines.offer(specs)
        self.runtime.fleet.apply(new.targets.values())
        self.runtime = dataclasses.replace(self.runtime, catalog=new)
        self._inferences.runtime = self._state.runtime = self.runtime
        log.info("configuration reloaded", changes=changes or ["none"])
        old = self.runtime.config
        if (config.server, config.engine, config.limits) != (old.server, old.engine, old.limits):
            log.warning("changes in [server], [engine] and [limits] take effect at the next start")


def allowed_hosts(config: Config) -> frozenset[str]:
    """The hosts that are answered: loopback names and what the operator names; any, on a public bind without names."""
    server_config = config.server
    if not is_loopback(server_config.host) and not server_config.allowed_hosts:
        return frozenset({"*"})
    return LOOPBACK_HOSTS | {server_config.host} | frozenset(server_config.allowed_hosts)


def data_directory(config: Config) -> Path:
    """Where the database, the pepper and pulled models lie."""
    return Path(config.server.data).expanduser()


def embedded_models(config: Config) -> tuple[list[EngineSpec], list[EmbeddedModel]]:
    """What the engine can serve here: the demo model and what was pulled; nothing where the engine is missing."""
    settings = config.engine
    if not settings.enabled or (not settings.command and isinstance(engine_available(), Missing)):
        return [], []
    models = [model for model in Library(data_directory(config)).list() if settings.demo or not model.demo]
    return [_spec(model, config) for model in models], [_embedded(model, config) for model in models]


def _spec(model: Model, config: Config) -> EngineSpec:
    settings = config.engine
    return EngineSpec(
        name=model.name,
        path=model.path,
        threads=settings.threads,
        parallel=settings.parallel,
        context=settings.context,
        command=settings.command,
        embeddings=model.embeddings,
        answer_limit=DEMO_ANSWER if model.demo else None,
    )


def _embedded(model: Model, config: Config) -> EmbeddedModel:
    parallel = config.engine.parallel
    return EmbeddedModel(
        name=model.name,
        context=config.engine.context or fit_model(model.path, parallel=parallel, free=free_memory()).context,
        owned_by="bundled-demo" if model.demo else "local",
        created=model.created,
        embeddings=model.embeddings,
        capacity=parallel * WAITING_ROOM,
    )


@contextlib.asynccontextmanager
async def opened(
    config: Config, *, environ: Mapping[str, str], log: Log, sink: LineSink, clock: Clock
) -> AsyncIterator[App]:
    """A whole process but for its socket; what was opened is closed on the way out."""
    data = data_directory(config)
    async with open_database(data, clock=clock) as database:
        keys = await KeyRing.open(database, data, log=log, clock=clock)
        if environ.get("INGOT_BOOTSTRAP_KEY"):
            await keys.ensure_first_key(environ["INGOT_BOOTSTRAP_KEY"])
        recorder = Recorder(database, log=log)
        engines = Engines(functools.partial(Engine, clock=clock, log=log))
        specs, embedded = embedded_models(config)
        engines.offer(specs)
        known: Catalog = catalog.build(config, embedded, created=int(clock.now()))
        fleet = Fleet(
            client=Client(buffer_bytes=config.limits.buffer_bytes),
            clock=clock,
            log=log,
            locate=engines.locate,
            rng=random.Random(),  # noqa: S311  # spreads load; protects nothing
        )
        fleet.apply(known.targets.values())
        runtime = Runtime(
            config=config,
            catalog=known,
            keys=keys,
            fleet=fleet,
            measures=Measures(),
            recorder=recorder,
            clock=clock,
            rng=random.Random(),  # noqa: S311  # jitter
            log=log,
        )
        watch = asyncio.create_task(fleet.watch())
        if specs:
            await engines.start(specs[0].name)
        try:
            yield App(runtime, engines, sink=sink)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            await fleet.close()
            await engines.stop(1.0)
            await recorder.close()
            await keys.close()


async def serve(
    loaded: Loaded, *, environ: Mapping[str, str], reload: Reload, greet: Callable[[Greeting], None]
) -> None:
    """Serves until SIGTERM or SIGINT; `greet` is called once the port is open. Raises ConfigError, StoreError."""
    config = loaded.config
    problem = bind_problem(config)
    if problem is not None:
        raise ConfigError.at("server.host", problem)
    try:
        listener = server.bind(config.server.host, config.server.port)
    except OSError as error:
        where = f"{config.server.host}:{config.server.port}"
        raise ConfigError.at(
            "server.port",
            f"cannot listen on {where} ({error.strerror}): stop what listens there, or choose another with --port",
        ) from error
    loop = asyncio.get_running_loop()
    sink = LineSink(sys.stderr.buffer)
    sink.later = loop.call_later
    log = configure(sink, form=config.server.log_format, level=config.server.log_level)
    capture_stdlib(log)
    # uvicorn's own lines tell of tasks and sockets; what they mean to an operator is logged by us.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    bootstrapped = bool(environ.get("INGOT_BOOTSTRAP_KEY"))
    for warning in loaded.warnings:
        log.warning(warning)
    async with opened(config, environ=environ, log=log, sink=sink, clock=SystemClock()) as app:

        async def up(host: str, port: int) -> None:
            # Only now: a key made by a start that fails would never be shown.
            first = None if bootstrapped else await app.runtime.keys.ensure_first_key(None)
            models = tuple(app.runtime.catalog.deployments)
            greet(
                Greeting(
                    url=_url(host, port),
                    key=first.secret if first else None,
                    bootstrapped=bootstrapped,
                    models=models,
                    data=data_directory(config),
                    notes=_notes(config),
                )
            )
            freeze_startup()
            log.info("serving", url=_url(host, port), models=len(models))

        loop.add_signal_handler(signal.SIGHUP, app.reload, reload)
        running = server.build(
            app.hub,
            drain_seconds=config.server.drain_seconds,
            on_up=up,
            on_drain=app.drain,
        )
        try:
            await running.serve(sockets=[listener])
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            log.info("stopped")
            sink.later = None
            sink.flush()


def freeze_startup() -> None:
    """Takes what the start made out of every later garbage collection (measured: 4 % of the CPU under load)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def _url(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104  # compared and shown, not bound
    return f"http://{shown}:{port}"


def _notes(config: Config) -> tuple[str, ...]:
    available = engine_available()
    if config.engine.enabled and not config.engine.command and isinstance(available, Missing):
        return (f"The embedded engine is missing: {available.reason}. {available.remedy}",)
    return ()
