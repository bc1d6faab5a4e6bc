"""The parts behind the surfaces that keep state: database, keys, limits, money, retries, records, accounts.

    database --> keys, purse, retries --> recorder --> gate
             '-> accounts, mail, retention, subscriptions: what runs beside the requests

Chooses SQLite or PostgreSQL, memory or Valkey; nothing above knows which. What was opened is closed in reverse.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from ingot.app.webhooks import Webhooks, open_webhooks
from ingot.clock import Clock
from ingot.config import Config
from ingot.ids import new_id
from ingot.limits.limiter import Limiter
from ingot.limits.memory import MemoryLimiter
from ingot.limits.postgres import postgres_limiter
from ingot.limits.valkey import valkey_limiter
from ingot.logs import Log
from ingot.presets import Preset
from ingot.scheduling.guess import Guess
from ingot.services.accounts import Accounts, open_accounts
from ingot.services.admission import Gate
from ingot.services.changes import Changes
from ingot.services.clearing import Clearing
from ingot.services.desk import Desk
from ingot.services.files import Files
from ingot.services.history import History
from ingot.services.idempotency import Retries
from ingot.services.jobs import Jobs
from ingot.services.keys import KeyRing
from ingot.services.levels import TICK_SECONDS, LevelKeeper
from ingot.services.mail import MailSender
from ingot.services.money import Money, open_money
from ingot.services.pacing import Pacing
from ingot.services.plans import Plans
from ingot.services.purse import Purse
from ingot.services.recording import Recorder
from ingot.services.retention import Retention
from ingot.signals.postgres import PostgresSignal
from ingot.signals.signal import LocalSignal, Signal
from ingot.store.blobs import Blobs
from ingot.store.database import Database
from ingot.store.engine import open_database
from ingot.store.faults import StoreError
from ingot.upkeep import endure
from ingot.upstream.client import Client
from ingot.upstream.mail import open_post

RENEWAL_SECONDS = 60.0
ASYNC_PAUSE = 0.05
"""Seconds that records gather where no answer waits for them."""


@dataclass(frozen=True, slots=True)
class Platform:
    """The parts of one process."""

    database: Database
    keys: KeyRing
    limiter: Limiter
    purse: Purse
    retries: Retries
    jobs: Jobs
    desk: Desk
    history: History
    changes: Changes
    recorder: Recorder
    gate: Gate
    accounts: Accounts
    plans: Plans
    money: Money
    files: Files
    webhooks: Webhooks


@contextlib.asynccontextmanager
async def opened(
    config: Config, data: Path, *, preset: Preset, client: Client, clock: Clock, log: Log
) -> AsyncIterator[Platform]:
    """All parts, started; raises StoreError where the database cannot be used."""
    url = config.server.database
    owner = new_id("proc")
    async with contextlib.AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(data, url, clock=clock))
        keys = await KeyRing.open(
            database, data, log=log, clock=clock, prefix=preset.keys.prefix, limit=preset.keys.most
        )
        stack.push_async_callback(keys.close)
        purse = Purse(database, owner, clock=clock, log=log, alone=not url)
        await purse.start()
        stack.push_async_callback(purse.close)
        retries = await Retries.open(database, clock=clock, log=log)
        stack.push_async_callback(retries.close)
        jobs = await _open_jobs(stack, config, database, purse=purse, clock=clock, log=log)
        desk = await _open_desk(stack, config, database, node=owner, clock=clock)
        pause = 0.0 if config.store.durability == "sync" else ASYNC_PAUSE
        recorder = Recorder(database, purse=purse, retries=retries, log=log, pause=pause, node=owner)
        stack.push_async_callback(recorder.close)
        limiter = _limiter(config, owner, clock=clock, log=log)
        await limiter.start()
        stack.push_async_callback(limiter.close)
        if isinstance(limiter, MemoryLimiter):
            await _keep_levels(stack, database, limiter=limiter, log=log)
        accounts = open_accounts(database, config.accounts, keys=keys, clock=clock, log=log)
        stack.push_async_callback(accounts.close)
        _send_mail(stack, config, accounts, client=client, clock=clock, log=log)
        _beside(stack, Retention(database, clock=clock, log=log).run, name="retention", log=log)
        blobs = Blobs(Path(config.files.directory) if config.files.directory else data / "files")
        clearing = Clearing(database, blobs, clock=clock, log=log)
        _beside(stack, clearing.run, name="files", log=log)
        webhooks = await stack.enter_async_context(
            open_webhooks(config.webhooks, accounts, digest=keys.digest, clock=clock, log=log)
        )
        money = open_money(database, clock=clock, fallback=preset.default_plan, spare=purse.spare)
        plans = Plans(database, clock=clock)
        await _adopt(plans, preset, log=log)
        renew = functools.partial(money.subscriptions.tick, log=log)
        _beside(stack, _every(RENEWAL_SECONDS, renew, log=log), name="subscriptions", log=log)
        yield Platform(
            database=database,
            keys=keys,
            limiter=limiter,
            purse=purse,
            retries=retries,
            jobs=jobs,
            desk=desk,
            history=History(database, recorder, digest=keys.digest, clock=clock),
            changes=Changes(database, retries, digest=keys.digest, clock=clock),
            recorder=recorder,
            gate=Gate(limiter, purse),
            accounts=accounts,
            plans=plans,
            money=money,
            files=Files(database, blobs, limits=config.files, clock=clock),
            webhooks=webhooks,
        )


async def _open_desk(
    stack: contextlib.AsyncExitStack, config: Config, database: Database, *, node: str, clock: Clock
) -> Desk:
    guess = Guess(config.worker.concurrency, config.worker.request_seconds)
    alone = not config.server.database
    desk = Desk(database, Pacing(), clock=clock, node=node, alone=alone, guess=guess)
    await desk.start()
    stack.push_async_callback(desk.close)
    return desk


def _send_mail(
    stack: contextlib.AsyncExitStack,
    config: Config,
    accounts: Accounts,
    *,
    client: Client,
    clock: Clock,
    log: Log,
) -> None:
    post = open_post(config.mail, client=client, clock=clock, log=log)
    sender = MailSender(accounts.db, post=post, write=accounts.letters.write, clock=clock, log=log)
    _beside(stack, sender.run, name="mail", log=log, stop=sender.close)
    _beside(stack, accounts.run, name="accounts", log=log)


async def _open_jobs(
    stack: contextlib.AsyncExitStack,
    config: Config,
    database: Database,
    *,
    purse: Purse,
    clock: Clock,
    log: Log,
) -> Jobs:
    url = config.server.database
    signal: Signal = PostgresSignal(url, log=log) if url else LocalSignal()
    await signal.start()
    stack.push_async_callback(signal.close)
    jobs = Jobs(database, purse=purse, signal=signal, clock=clock, lease=config.worker.lease_seconds)
    await jobs.start()
    return jobs


def _limiter(config: Config, node: str, *, clock: Clock, log: Log) -> Limiter:
    def notify(down: bool, why: str) -> None:  # noqa: FBT001  # the limiters' signature
        if down:
            log.warning("limits are counted in this process alone", reason=why)
        else:
            log.info("limits are shared again")

    lease = config.limiter.lease_seconds
    if config.limiter.url:
        return valkey_limiter(
            config.limiter.url, clock=clock, ids=new_id, node=node, log=log, lease=lease, notify=notify
        )
    if config.server.database:
        return postgres_limiter(
            config.server.database, clock=clock, ids=new_id, node=node, log=log, lease=lease, notify=notify
        )
    return MemoryLimiter(clock)


async def _keep_levels(
    stack: contextlib.AsyncExitStack, database: Database, *, limiter: MemoryLimiter, log: Log
) -> None:
    keeper = LevelKeeper(database, limiter, log=log)
    await keeper.restore()
    stack.push_async_callback(keeper.close)
    _beside(stack, _every(TICK_SECONDS, keeper.tick, log=log), name="levels", log=log)


async def _adopt(plans: Plans, preset: Preset, *, log: Log) -> None:
    adopted = await plans.adopt(preset.plans)
    if adopted:
        log.info("plans have the preset's figures", preset=preset.name, plans=list(adopted))


def _every(
    seconds: float, work: Callable[[], Awaitable[object]], *, log: Log
) -> Callable[[], Awaitable[None]]:
    """`work` again and again; what it raises is logged and ends a turn, not the loop."""

    async def turns() -> None:
        while True:
            try:
                await work()
            except StoreError as error:
                log.warning("housekeeping failed, it is tried again", reason=error.message)
            except Exception as error:  # logged; nobody waits for this task
                log.error("housekeeping failed, it is tried again", exc_info=error)
            await asyncio.sleep(seconds)

    return turns


def _beside(
    stack: contextlib.AsyncExitStack,
    work: Callable[[], Awaitable[None]],
    *,
    name: str,
    log: Log,
    stop: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Runs `work` for as long as the process serves, whatever it raises."""
    task = asyncio.create_task(endure(work, name=name, log=log))
    stack.push_async_callback(functools.partial(_end, task, stop))


async def _end(task: "asyncio.Task[None]", stop: Callable[[], Awaitable[None]] | None) -> None:
    if stop is None:
        task.cancel()
    else:
        await stop()
    await asyncio.gather(task, return_exceptions=True)
