"""One serving process, from its parts to its end.

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
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingot import catalog, presets
from ingot.app import platform
from ingot.app.images import open_images
from ingot.app.models import embedded_models
from ingot.app.paths import data_directory
from ingot.app.platform import Platform
from ingot.app.work import open_worker
from ingot.catalog import Catalog, EmbeddedModel
from ingot.clock import Clock, SystemClock
from ingot.config import Config, ConfigError, Loaded, bind_problem, is_loopback
from ingot.differences import differences
from ingot.logs import LineSink, Log, capture_stdlib, configure
from ingot.presets import Preset
from ingot.services.attachments import Attachments
from ingot.services.measures import Measures
from ingot.services.runtime import Runtime
from ingot.store.hold import hold
from ingot.upkeep import endure
from ingot.upstream.client import Client
from ingot.upstream.engine import Engine, Missing, engine_available
from ingot.upstream.engines import Engines
from ingot.upstream.fleet import Fleet
from ingot.web import admin, openapi, resources, server
from ingot.web.access import console_access, json_access
from ingot.web.admin import keys as admin_keys
from ingot.web.admin import money as admin_money
from ingot.web.admin import plans as admin_plans
from ingot.web.admin import webhooks as admin_webhooks
from ingot.web.asgi import Dispatcher, Front
from ingot.web.errors import refusals
from ingot.web.hub import ConnectionLimits, Hub
from ingot.web.intake import LOOPBACK_HOSTS, Hosts
from ingot.web.proxies import Proxies
from ingot.web.surfaces import Inferences, build_surfaces
from ingot.worker.loop import Worker

FIXED = (
    "server",
    "engine",
    "limits",
    "images",
    "store",
    "files",
    "batches",
    "worker",
    "limiter",
    "accounts",
    "mail",
    "webhooks",
    "presets",
    "hosts",
)
"""Sections that are read at the start alone."""

Reload = Callable[[], Loaded]


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

    def __init__(
        self,
        runtime: Runtime,
        engines: Engines,
        *,
        parts: Platform,
        worker: Worker | None,
        chosen: Mapping[str, Preset],
        sink: LineSink,
    ) -> None:
        """`worker` is there where this process works on the queue; `chosen` has the presets of the server and of its hosts by name."""
        self.runtime = runtime
        self._engines = engines
        self.worker = worker
        config = runtime.config
        self._hosts = Hosts(allowed_hosts(config))
        self._proxies = Proxies(config.server.trusted_proxies)
        console = config.server.log_format == "console" or (
            config.server.log_format == "auto" and sys.stderr.isatty()
        )
        self._access = console_access(runtime.log) if console else json_access(sink)
        self._parts = parts
        self._inferences: list[Inferences] = []
        self._states: list[resources.State] = []
        fronts = {name: self._front(preset) for name, preset in chosen.items()}
        self.hub = Hub(
            Dispatcher(
                fronts[config.server.preset],
                by_host={host: fronts[name] for host, name in config.hosts.items()},
                admin=admin.build(
                    parts.accounts,
                    (
                        *admin_keys.routes(parts.keys.desk, models=lambda: self.runtime.catalog.deployments),
                        *admin_plans.routes(parts.plans),
                        *admin_money.routes(parts.money),
                        *admin_webhooks.routes(parts.webhooks.desk),
                    ),
                    changes=parts.changes,
                    hosts=self._hosts,
                    proxies=self._proxies,
                    log=runtime.log,
                ),
                access=self._access,
            ),
            limits=_connection_limits(config),
            refuse=refusals(
                functools.partial(presets.encode_error, runtime.preset),
                measures=runtime.measures,
                log=runtime.log,
            ),
        )

    def _front(self, preset: Preset) -> Front:
        """The API under a preset; the presets of one server share all but their rules."""
        runtime = dataclasses.replace(self.runtime, preset=preset)
        inferences = Inferences(runtime, hosts=self._hosts, proxies=self._proxies, access=self._access)
        state = resources.State(
            runtime,
            self._parts.database,
            changes=self._parts.changes,
            files=self._parts.files,
            endpoints=self._parts.webhooks.endpoints,
            hosts=self._hosts,
            proxies=self._proxies,
            open_metrics=is_loopback(runtime.config.server.host),
            description=openapi.describe(),
        )
        self._inferences.append(inferences)
        self._states.append(state)
        return Front(inferences, resources.build(state), surfaces=build_surfaces(preset))

    async def finish(self) -> None:
        """Waits for what goes on although its client has left."""
        await asyncio.gather(*(each.finish() for each in self._inferences))

    def drain(self) -> None:
        """From now on `/readyz` says that no traffic belongs here."""
        for state in self._states:
            state.draining = True
        if self.worker is not None:
            self.worker.stop()
        self.runtime.log.info("draining", seconds=self.runtime.config.server.drain_seconds)

    def reload(self, reload: Reload) -> None:
        """Takes models, targets and prices from the configuration as it is now; all or nothing."""
        log = self.runtime.log
        try:
            loaded = reload()
            config = loaded.config
            specs, embedded = embedded_models(config)
            new = _catalog(loaded, embedded, self.runtime.clock)
        except (ConfigError, OSError) as error:
            log.error("reload refused, the old configuration stays", reason=str(error))
            return
        changes = differences(self.runtime.catalog, new)
        self._engines.offer(specs)
        self.runtime.fleet.apply(new.targets.values())
        self.runtime = dataclasses.replace(self.runtime, catalog=new)
        for inferences in self._inferences:
            inferences.runtime = dataclasses.replace(inferences.runtime, catalog=new)
        if self.worker is not None:
            self.worker.runtime = dataclasses.replace(self.worker.runtime, catalog=new)
        for state in self._states:
            state.runtime = dataclasses.replace(state.runtime, catalog=new)
        log.info("configuration reloaded", changes=changes or ["none"])
        old = self.runtime.config
        changed = [f"[{name}]" for name in FIXED if getattr(config, name) != getattr(old, name)]
        if changed:
            log.warning("changes that take effect at the next start", sections=changed)


def _connection_limits(config: Config) -> ConnectionLimits:
    limits = config.limits
    return ConnectionLimits(
        headers=limits.headers,
        header_bytes=limits.header_bytes,
        request_seconds=limits.request_seconds,
        seconds_per_megabyte=limits.seconds_per_megabyte,
        idle_seconds=limits.idle_seconds,
        unread_seconds=limits.unread_seconds,
        buffer_bytes=limits.buffer_bytes,
    )


def allowed_hosts(config: Config) -> frozenset[str]:
    """The hosts that are answered: loopback names and what the operator names; any, on a public bind without names."""
    server_config = config.server
    if not is_loopback(server_config.host) and not server_config.allowed_hosts:
        return frozenset({"*"})
    return (
        LOOPBACK_HOSTS | {server_config.host} | frozenset(server_config.allowed_hosts) | config.hosts.keys()
    )


@contextlib.asynccontextmanager
async def opened(
    loaded: Loaded, *, environ: Mapping[str, str], log: Log, sink: LineSink, clock: Clock
) -> AsyncIterator[App]:
    """A whole process but for its socket; what was opened is closed on the way out."""
    config = loaded.config
    data = data_directory(config)
    chosen = presets.load_all((config.server.preset, *config.hosts.values()), config.presets)
    preset = chosen[config.server.preset]
    client = Client(buffer_bytes=config.limits.buffer_bytes)
    async with (
        platform.opened(config, data, preset=preset, client=client, clock=clock, log=log) as parts,
        open_images(config.images) as images,
    ):
        if environ.get("INGOT_BOOTSTRAP_KEY"):
            await parts.keys.ensure_first_key(environ["INGOT_BOOTSTRAP_KEY"])
        engines = Engines(functools.partial(Engine, clock=clock, log=log))
        specs, embedded = embedded_models(config)
        engines.offer(specs)
        known = _catalog(loaded, embedded, clock)
        rng = random.Random()  # noqa: S311  # spreads load; protects nothing
        fleet = Fleet(client=client, clock=clock, log=log, locate=engines.locate, rng=rng)
        fleet.apply(known.targets.values())
        runtime = Runtime(
            config=config,
            catalog=known,
            preset=preset,
            keys=parts.keys,
            fleet=fleet,
            measures=Measures(),
            recorder=parts.recorder,
            gate=parts.gate,
            retries=parts.retries,
            jobs=parts.jobs,
            desk=parts.desk,
            history=parts.history,
            images=images,
            attachments=Attachments(parts.files, images, config),
            clock=clock,
            rng=rng,
            log=log,
        )
        watch = asyncio.create_task(endure(fleet.watch, name="health", log=log))
        if specs:
            await engines.start(specs[0].name)
        try:
            async with open_worker(runtime, chosen, parts=parts) as worker:
                app = App(runtime, engines, parts=parts, worker=worker, chosen=chosen, sink=sink)
                try:
                    yield app
                finally:
                    await app.finish()
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            await fleet.close()
            await engines.stop(1.0)


def _catalog(loaded: Loaded, embedded: Sequence[EmbeddedModel], clock: Clock) -> Catalog:
    return catalog.build(
        loaded.config, embedded, created=int(clock.now()), constitutions=loaded.constitutions
    )


async def serve(
    loaded: Loaded, *, environ: Mapping[str, str], reload: Reload, greet: Callable[[Greeting], None]
) -> None:
    """Serves until SIGTERM or SIGINT; `greet` is called once the port is open. Raises ConfigError, StoreError."""
    config = loaded.config
    problem = bind_problem(config)
    if problem is not None:
        raise ConfigError.at("server.host", problem)
    listener = _bind(config)
    loop = asyncio.get_running_loop()
    sink, log = open_log(loaded)
    bootstrapped = bool(environ.get("INGOT_BOOTSTRAP_KEY"))
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(hold(data_directory(config), config.server.database))
        app = await stack.enter_async_context(
            opened(loaded, environ=environ, log=log, sink=sink, clock=SystemClock())
        )

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


def open_log(loaded: Loaded) -> tuple[LineSink, Log]:
    """Where the lines of this process go, with what the configuration was warned of; the sink is to be flushed at the end."""
    config = loaded.config
    sink = LineSink(sys.stderr.buffer)
    sink.later = asyncio.get_running_loop().call_later
    log = configure(sink, form=config.server.log_format, level=config.server.log_level)
    capture_stdlib(log)
    # uvicorn's own lines tell of tasks and sockets; what they mean to an operator is logged by us.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    for warning in loaded.warnings:
        log.warning(warning)
    return sink, log


def _bind(config: Config) -> socket.socket:
    """The socket to listen on; raises ConfigError where the address cannot be had."""
    try:
        return server.bind(config.server.host, config.server.port)
    except OSError as error:
        where = f"{config.server.host}:{config.server.port}"
        raise ConfigError.at(
            "server.port",
            f"cannot listen on {where} ({error.strerror}): stop what listens there, or choose another with --port",
        ) from error


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
