"""A store of two organizations, and what reads and writes their responses, without a server."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from databases import Place, open_store
from ingot.dialects.dialect import Call
from ingot.dialects.responses import RESPONSES
from ingot.services.history import History
from ingot.services.idempotency import Retries
from ingot.services.kept import Responses
from ingot.services.recording import Recorder
from ingot.store.database import Database
from ingot.store.settle import Settlement
from treasury import Treasury

ORG, OTHER = "org_one", "org_two"
MICROS = 1_000_000
IDS = [f"resp_{number:028x}" for number in range(1, 9)]


def digest(text: bytes) -> bytes:
    """Stands for the HMAC under the pepper."""
    return hashlib.sha256(text).digest()


@dataclass(frozen=True, slots=True)
class Scene:
    """A store with two organizations, and what reads and writes it."""

    db: Database
    treasury: Treasury
    recorder: Recorder
    history: History
    kept: Responses

    def settlement(self, which: str, text: str, *, previous: str | None = None, **fields: Any) -> Settlement:
        """An answered response: it says `text` to a message that says `say TEXT`."""
        now = int(self.treasury.clock.now() * MICROS)
        request = {"model": "m", "input": f"say {text}", "previous_response_id": previous}
        message: dict[str, Any] = {
            "id": f"msg_{which[5:]}0000",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": text, "annotations": []}],
        }
        answer: dict[str, Any] = {
            "id": which,
            "object": "response",
            "status": "completed",
            "output": [message],
        }
        made = Settlement(
            id=which,
            public_id=which,
            org_id=ORG,
            key_id="key_a",
            surface="responses",
            model="m",
            target="up",
            status=200,
            state="completed",
            window="asap",
            fidelity="translated",
            created_at=now,
            finished_at=now,
            request_id="req_1",
            request=json.dumps(request).encode(),
            answer=json.dumps(answer).encode(),
            expires_at=now + 60 * MICROS,
        )
        return replace(made, **fields)

    async def store(self, which: str, text: str, *, previous: str | None = None, **fields: Any) -> None:
        """The same, written."""
        await self.recorder.record(self.settlement(which, text, previous=previous, **fields))

    async def call(
        self, *, org: str = ORG, most: int = 1_000_000, links: int | None = 1_000, **fields: Any
    ) -> Call:
        """A request with these fields, with all that comes before it."""
        call = RESPONSES.decode(json.dumps({"model": "m", **fields}).encode())
        return await self.history.before(call, org, most=most, links=links)

    async def before(
        self, *, org: str = ORG, most: int = 1_000_000, links: int | None = 1_000, **fields: Any
    ) -> list[Any]:
        """The input of a request with these fields, as a target gets it."""
        made = await self.call(org=org, most=most, links=links, **fields)
        assert json.loads(made.body.data) == made.body.value
        assert "previous_response_id" not in made.body.value
        told = made.body.value["input"]
        assert isinstance(told, list)
        return told


@asynccontextmanager
async def open_scene(backend: Place) -> AsyncIterator[Scene]:
    """An empty store of two organizations."""
    async with open_store(backend) as db:
        treasury = Treasury(db)
        for org in (ORG, OTHER):
            await treasury.organization(org, amount=1_000)
        purse = treasury.purse("p1")
        retries = Retries(db, clock=treasury.clock, log=treasury.log)
        recorder = Recorder(db, purse=purse, retries=retries, log=treasury.log)
        history = History(db, recorder, digest=digest, clock=treasury.clock)
        yield Scene(db, treasury, recorder, history, Responses(db, clock=treasury.clock))
        await recorder.close()
        await purse.close()
