"""Keeps one embedded model answering: starts the engine's process, watches it, starts it again.

    stopped --start--> starting --healthy--> ready
                          ^  |                 |
                          |  +---- ended ------+--> backoff   0.1 s, doubling to 10 s; forgotten after a steady minute
                          |                            |
                          +---- delay over ------------+
                          +---- delay over -------- failed    five ends in a row before ready: every 30 s

It decides when a process is started, given up and killed, and refuses to know what is asked of it: callers take the
address and speak HTTP. The end of the process is waited for, not polled; health polls find the process that hangs.
"""

import asyncio
import contextlib
import os
import secrets
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ingot.clock import Clock
from ingot.logs import Log
from ingot.upstream.engine.child import Child, EngineAddress, healthy, spawn
from ingot.upstream.engine.machine import default_threads, free_memory
from ingot.upstream.weights.gguf import fit_model

State = Literal["starting", "ready", "backoff", "stopped", "failed"]

WHY_DOWN: dict[State, str] = {
    "starting": "the model is still being loaded",
    "ready": "the model has just come up",
    "backoff": "the engine ended and is about to be started again",
    "stopped": "the engine is stopped",
    "failed": "the engine cannot start; the server's log says why",
}


class EngineDown(Exception):
    """The engine does not answer now, and after how many seconds to try again (None: it was stopped).

    Its text may go to a client; `reason` may not, as it quotes the engine's log with the paths of this machine.
    """

    def __init__(self, message: str, *, reason: str | None, retry_after: float | None) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """One model and how to run it; None takes the machine's or the model's own measure."""

    name: str
    path: Path
    threads: int | None = None
    parallel: int = 8
    context: int | None = None
    """Tokens of each slot."""
    command: str = ""
    """A llama-server binary, perhaps with flags of its own, to run instead of the wheel."""
    embeddings: bool = False
    answer_limit: int | None = None
    """Tokens of an answer whose request sets no limit; None: until the model ends it, or its context does."""


@dataclass(frozen=True, slots=True)
class Tempo:
    """The supervisor's measures, in seconds unless they count."""

    patience: float = 10.0
    """How long a request waits for an engine that is coming up."""
    poll_starting: float = 0.03
    poll: float = 2.0
    poll_timeout: float = 5.0
    polls_missed: int = 6
    """Unanswered in a row before the process counts as hung: half a minute, as a busy machine is not a hung engine."""
    start_limit: float = 900.0
    """A large model on a slow disk takes minutes to load."""
    first_delay: float = 0.1
    longest_delay: float = 10.0
    steady_after: float = 60.0
    failed_after: int = 5
    failed_delay: float = 30.0


def restart_delay(tempo: Tempo, crashes: int) -> float:
    """Seconds before the start that follows this many ends in a row."""
    return min(tempo.longest_delay, tempo.first_delay * 2.0 ** min(crashes - 1, 30))


def binary_argv(command: str) -> list[str]:
    """The words of `engine.command`: one path, spaces and all, or a path with flags behind it."""
    if not command or Path(command).is_file():
        return [command] if command else []
    return shlex.split(command)


class Engine:
    """The supervisor of one model's process; belongs to one event loop."""

    def __init__(
        self,
        spec: EngineSpec,
        *,
        clock: Clock,
        log: Log,
        new_key: Callable[[], str] = secrets.token_hex,
        tempo: Tempo = Tempo(),
    ) -> None:
        """`new_key` makes the key of each started process."""
        self.spec = spec
        self.state: State = "stopped"
        self.restarts = 0
        self.last_error: str | None = None
        self._clock = clock
        self._log = log
        self._new_key = new_key
        self._tempo = tempo
        self._address: EngineAddress | None = None
        self._child: Child | None = None
        self._task: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()  # ready, failed or stopped: nothing to wait for
        self._doubted = asyncio.Event()
        self._retry_at = 0.0
        self._crashes = 0
        self._stillborn = 0

    @property
    def ready(self) -> bool:
        """Whether a request would be answered now."""
        return self._address is not None

    @property
    def pid(self) -> int | None:
        """The engine's process, where one runs."""
        return self._child.pid if self._child else None

    async def start(self) -> None:
        """Begins to keep the engine alive, and returns at once."""
        if self._task is None:
            self._crashes = self._stillborn = 0
            self._enter("starting")
            self._task = asyncio.create_task(self._keep_alive())

    async def origin(self) -> EngineAddress:
        """Where the engine listens, just seen to answer; waits a while for one that is coming up, then EngineDown.

        Callers keep the address and come back when it has failed them: the check costs a millisecond.
        """
        address = self._address
        if address is not None:
            if await healthy(address, self._tempo.poll_timeout):
                return address
            self.doubt(address)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._tempo.patience):
                await self._settled.wait()
        if self._address is not None:
            return self._address
        raise EngineDown(WHY_DOWN[self.state], reason=self.last_error, retry_after=self._retry_after())

    def doubt(self, address: EngineAddress) -> None:
        """Says that `address` did not answer: nobody gets it again before a health poll has."""
        if self._address == address:
            self._address = None
            self._enter("starting")
            self._doubted.set()

    async def stop(self, drain: float) -> None:
        """Ends the engine: SIGTERM, after `drain` seconds SIGKILL. The caller has let its requests finish."""
        task, self._task = self._task, None
        child, self._child = self._child, None
        self._address = None
        self._enter("stopped")
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        if child is not None:
            await child.end(drain)

    def _retry_after(self) -> float | None:
        if self.state == "stopped":
            return None
        return max(1.0, self._retry_at - self._clock.monotonic())

    def _enter(self, state: State) -> None:
        self.state = state
        if state in {"ready", "failed", "stopped"}:
            self._settled.set()
        else:
            self._settled.clear()

    async def _keep_alive(self) -> None:
        while True:
            self._enter("starting")
            delay = await self._run_once()
            self._retry_at = self._clock.monotonic() + delay
            await asyncio.sleep(delay)
            self.restarts += 1

    async def _run_once(self) -> float:
        """Runs one process to its end; the seconds to wait before the next."""
        began = self._clock.monotonic()
        try:
            self._child = child = await self._spawn()
        except (OSError, ValueError) as error:  # no process, or a command with an unclosed quote
            return self._account(f"the engine could not be started: {error}", lived=None)
        up_at = await self._attend(child, began)
        self._address = None
        await child.end(0.0)
        self._child = None
        reason = self.last_error if child.hung else child.epitaph()
        return self._account(
            reason or child.epitaph(), lived=None if up_at is None else self._clock.monotonic() - up_at
        )

    async def _spawn(self) -> Child:
        spec = self.spec
        free, threads = free_memory(), spec.threads or default_threads()
        # In a thread: a large vocabulary takes 0.1 s to step over.
        fit = await asyncio.to_thread(fit_model, spec.path, parallel=spec.parallel, free=free)
        # An operator who names a context is taken at his word; else the slots may become fewer.
        context, slots = (spec.context, spec.parallel) if spec.context else (fit.context, fit.slots)
        settings = {
            "path": os.fspath(spec.path),
            "alias": spec.name,
            "threads": threads,
            "parallel": slots,
            "context": context,
            "command": binary_argv(spec.command),
            "embeddings": spec.embeddings,
            "predict": -1 if spec.answer_limit is None else spec.answer_limit,
            "pooling": not fit.pooling,
            "guard": sys.platform != "linux",
        }
        self._log.debug("engine.starting", model=spec.name, threads=threads, slots=slots, context=context)
        return await spawn(settings, key=self._new_key(), log=self._relay)

    def _relay(self, line: str) -> None:
        self._log.debug("engine.log", model=self.spec.name, line=line)

    def _account(self, reason: str, *, lived: float | None) -> float:
        """Notes an end; `lived` is how long the process had answered, None if it never did."""
        tempo = self._tempo
        self.last_error = reason
        self._stillborn = self._stillborn + 1 if lived is None else 0
        steady = lived is not None and lived >= tempo.steady_after
        self._crashes = 1 if steady else self._crashes + 1
        if self._stillborn >= tempo.failed_after:
            delay = tempo.failed_delay
            self._enter("failed")
            self._log.error("engine.failed", model=self.spec.name, reason=reason, retry_in=delay)
        else:
            delay = restart_delay(tempo, self._crashes)
            self._enter("backoff")
            self._log.warning("engine.ended", model=self.spec.name, reason=reason, restart_in=delay)
        return delay

    async def _attend(self, child: Child, began: float) -> float | None:
        """Waits until the process ends or hangs; when it became ready, if it did."""
        nurse = asyncio.create_task(self._nurse(child, began))
        try:
            await asyncio.wait({child.exited, nurse}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            nurse.cancel()
        await asyncio.wait({nurse})
        child.hung = not child.exited.done()
        return child.up_at

    async def _nurse(self, child: Child, began: float) -> None:
        """Polls the process; returns when it hangs, with `last_error` saying how."""
        tempo = self._tempo
        try:
            async with asyncio.timeout(tempo.start_limit):
                address = await child.address()
                while not await healthy(address, tempo.poll_timeout):  # noqa: ASYNC110 - another process's state
                    await asyncio.sleep(tempo.poll_starting)
        except TimeoutError:
            self.last_error = f"the engine was not ready after {tempo.start_limit:.0f} s"
            return
        except ValueError as error:
            # Its output ends a moment before the process does; the exit tells more.
            await asyncio.wait({child.exited}, timeout=tempo.poll_timeout)
            self.last_error = str(error)
            return
        child.up_at = self._clock.monotonic()
        self._log.info(
            "engine.ready", model=self.spec.name, pid=child.pid, seconds=round(child.up_at - began, 3)
        )
        missed = 0
        while missed < tempo.polls_missed:
            if missed == 0 and self._address is None:
                child.serving = True
                self._address = address
                self._enter("ready")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(tempo.poll_starting if missed else tempo.poll):
                    await self._doubted.wait()
            self._doubted.clear()
            missed = 0 if await healthy(address, tempo.poll_timeout) else missed + 1
        self.last_error = f"the engine answered none of {missed} health polls"
