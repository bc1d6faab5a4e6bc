"""All targets of this process: one Link for each, and one watch over those that have a health path.

Decides which links exist and how a target's address is found; knows nothing of deployments or requests.
"""

import asyncio
import random
import ssl
from collections.abc import Callable, Iterable

from ingot.catalog import Target
from ingot.clock import Clock
from ingot.logs import Log
from ingot.upstream.client import Client, tls_context
from ingot.upstream.link import Link, Whereabouts

Locate = Callable[[Target], Whereabouts | None]


class Fleet:
    """The links by target name."""

    def __init__(self, *, client: Client, clock: Clock, log: Log, locate: Locate, rng: random.Random) -> None:
        """`locate` says how to find a target without a fixed address."""
        self.client = client
        self._clock = clock
        self._log = log
        self._locate = locate
        self._rng = rng
        self._tls: dict[bool, ssl.SSLContext] = {}
        self.links: dict[str, Link] = {}

    def apply(self, targets: Iterable[Target]) -> None:
        """Makes the links those of `targets`; a target that stays keeps its breaker and its calls in flight."""
        links = {}
        for target in targets:
            link = self.links.get(target.name)
            if link is None:
                link = Link(
                    target,
                    client=self.client,
                    clock=self._clock,
                    tls=self._context,
                    whereabouts=self._locate(target),
                )
            elif link.target != target:
                link.adopt(target)
            links[target.name] = link
        self.links = links

    def _context(self, target: Target) -> ssl.SSLContext:
        context = self._tls.get(target.verify_tls)
        if context is None:
            context = self._tls[target.verify_tls] = tls_context(verify=target.verify_tls)
        return context

    async def watch(self) -> None:
        """Checks the health of every target that names a health path, each at its own pace, until cancelled."""
        due: dict[str, float] = {}
        while True:
            now = self._clock.monotonic()
            checks = []
            for name, link in self.links.items():
                if link.target.health_path and due.get(name, 0.0) <= now:
                    # Spread over the interval, so that many gateways do not knock at the same instant.
                    due[name] = now + link.target.health_seconds * self._rng.uniform(0.9, 1.1)
                    checks.append(self._check(link, link.target.health_path))
            await asyncio.gather(*checks)
            await asyncio.sleep(0.5)

    async def _check(self, link: Link, path: str) -> None:
        healthy = await link.probe(path)
        if healthy and not link.healthy:
            self._log.info("target is healthy again", target=link.target.name)
            link.breaker.succeed()
        elif not healthy:
            if link.healthy:
                self._log.warning("target failed its health check", target=link.target.name, path=path)
            link.breaker.trip(self._clock.monotonic())
        link.healthy = healthy

    async def close(self) -> None:
        """Closes every connection."""
        await self.client.close()
