"""The server under test, and what the tester holds: keys, models, and where they can look, the backend.

Decides how a plain request of each surface looks and which surfaces are there. What is asked for once by many rows, as
a burst that runs into a limit, is asked once and remembered. Knows no row.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import msgspec

from ingot.conformance.wire import Address, Answer, Json, Patience, exchange
from ingot.ids import random_text
from ingot.upstream.client import UpstreamFault

GONE: Final = object()
"""Takes a field out of a plain request."""

NO_KEY: Final = ""

PATHS: Final[Mapping[str, str]] = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "embeddings": "/embeddings",
    "responses": "/responses",
    "messages": "/messages",
    "batches": "/batches",
    "files": "/files",
}
"""The surfaces that take a POST."""

PAGES: Final[Mapping[str, str]] = {"models": "/models", "stored": "/chat/completions", "usage": "/usage"}
"""The surfaces that are read."""

ABSENT: Final = frozenset({404, 405, 501})

BURST: Final = 7
PROMPT: Final = "Say hello."

_encode = msgspec.json.Encoder().encode


class Unreachable(Exception):
    """The server gave no answer at all; the message says why."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a webhook brought."""

    headers: Mapping[str, str]
    body: bytes


class Sink(Protocol):
    """A place for webhooks that the server under test can reach."""

    @property
    def url(self) -> str: ...

    async def next(self) -> Delivery | None:
        """The next delivery; None where none comes in time."""
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """What the tester has beside a key and a model; a row that needs what is missing is skipped."""

    other_key: str | None = None
    """A key of another account."""
    free_key: str | None = None
    """A key of an account on the smallest plan that has asked nothing within the last minute."""
    empty_key: str | None = None
    """A key of an account whose balance is zero."""
    narrow_key: str | None = None
    """A key of an account whose plan has fewer models."""
    image_model: str | None = None
    text_model: str | None = None
    """A model that reads no images."""
    embeddings_model: str | None = None
    failing_prompt: str | None = None
    """A prompt on which the backend fails."""
    thinking_prompt: str | None = None
    """A prompt that the backend thinks about before it answers."""
    make_key: Callable[[], Awaitable[str | None]] | None = None
    """Makes another key of the account; None where that is refused."""
    received: Callable[[str], Sequence[Json]] | None = None
    """The bodies with this text in them that arrived at the backend."""
    sink: Sink | None = None


@dataclass(slots=True)
class Subject:
    """One server under one preset."""

    preset: str
    address: Address
    key: str = field(repr=False)
    model: str
    means: Means = field(default_factory=Means, repr=False)
    patience: Patience = field(default_factory=Patience)
    _offered: dict[str, bool] = field(default_factory=dict, repr=False)
    _controls: dict[bytes, Answer] = field(default_factory=dict, repr=False)
    _burst: list[Answer] = field(default_factory=list, repr=False)

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One exchange; `key` is another than the subject's own, NO_KEY for none. Raises Unreachable."""
        sent: dict[str, str] = {
            "user-agent": "ingot-conformance",
            "accept": "application/json, text/event-stream",
        }
        token = self.key if key is None else key
        if token:
            sent["authorization"] = f"Bearer {token}"
        data = body if isinstance(body, bytes | None) else _encode(body)
        if data is not None:
            sent["content-type"] = "application/json"
        sent |= headers or {}
        try:
            return await exchange(self.address, method, path, body=data, headers=sent, patience=self.patience)
        except UpstreamFault as fault:
            raise Unreachable(f"{method} {self.address.path}{path}: {fault}") from fault

    async def page(self, path: str) -> Answer:
        """What is served at a path of the host itself, not below the API's base; without a key."""
        bare = replace(self, address=replace(self.address, path=""))
        return await bare.call("GET", path, key=NO_KEY)

    async def ask(
        self,
        fields: Mapping[str, Any] | None = None,
        *,
        surface: str = "chat",
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A plain request with these fields beside its own or in their place."""
        return await self.call("POST", PATHS[surface], self.body(surface, fields), key=key, headers=headers)

    async def control(self, fields: Mapping[str, Any], *, surface: str) -> Answer:
        """What comes of a request that should be right; asked once."""
        body = self.body(surface, fields)
        name = _encode([surface, body])
        if name not in self._controls:
            self._controls[name] = await self.call("POST", PATHS[surface], body)
        return self._controls[name]

    def body(self, surface: str, fields: Mapping[str, Any] | None = None) -> Json:
        """A plain request of a surface, with these fields beside its own or in their place."""
        plain: Json = {"model": self.model}
        if surface == "chat":
            plain |= {"messages": [{"role": "user", "content": PROMPT}]}
        elif surface == "messages":
            plain |= {"max_tokens": 64, "messages": [{"role": "user", "content": PROMPT}]}
        elif surface == "completions":
            plain |= {"prompt": PROMPT, "max_tokens": 16}
        elif surface == "batches":
            entry = {"custom_id": "one", "params": {"model": self.model, "input": PROMPT}}
            plain = {"endpoint": "/v1/responses", "requests": [entry]}
        elif surface == "embeddings":
            plain = {"model": self.means.embeddings_model or self.model, "input": PROMPT}
        else:
            plain |= {"input": PROMPT}
        return {name: value for name, value in {**plain, **(fields or {})}.items() if value is not GONE}

    async def offers(self, surface: str) -> bool:
        """Whether the server has a surface; asked once."""
        known = self._offered.get(surface)
        if known is None:
            answer = (
                await self.call("POST", PATHS[surface], {})
                if surface in PATHS
                else await self.call("GET", PAGES[surface])
            )
            known = self._offered[surface] = answer.status not in ABSENT
        return known

    async def burst(self) -> list[Answer]:
        """The answers to more requests in a row than the smallest plan allows in a minute; asked once."""
        key = self.means.free_key
        if key is not None and not self._burst:
            self._burst = [await self.ask(key=key) for _ in range(BURST)]
        return self._burst

    @staticmethod
    def phrase() -> str:
        """Words that no other request has; a model that only echoes says them back."""
        return f"echo: probe {random_text(12)}"
