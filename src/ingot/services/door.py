"""What both doors, a socket and a leased job, hand to an inference and get back: records and one protocol."""

from typing import Literal, Protocol

from msgspec import Struct

from ingot.canonical import Losses
from ingot.catalog import Deployment
from ingot.dialects.dialect import Call, Dialect, StreamTap, Usage
from ingot.limits.limiter import Standing
from ingot.rawjson import Body
from ingot.scheduling.windows import OnMiss
from ingot.services.keys import Principal
from ingot.services.purse import Hold
from ingot.store.idempotency import Lead
from ingot.store.orders import Hook
from ingot.store.queue import Claim

Fidelity = Literal["verbatim", "patched", "translated", "replayed"]


class Door(Protocol):
    """Where an answer goes."""

    def note(self, lines: bytes) -> None:
        """Takes header lines for the answer, each with its end; a door without headers forgets them."""
        ...

    def answer(self, status: int, body: bytes, *, content_type: bytes) -> None:
        """Gives the whole answer at once."""
        ...

    def start(self, status: int, *, content_type: bytes) -> None:
        """Begins a stream."""
        ...

    def write(self, piece: bytes) -> bool:
        """Passes on a piece of a stream at once; True asks the writer to `drain` before the next."""
        ...

    async def drain(self) -> None:
        """Waits while the reader is behind."""
        ...

    def finish(self) -> None:
        """Ends a stream."""
        ...


class Inference(Struct, frozen=True, gc=False):
    """One model invocation, as asked."""

    id: str
    surface: str
    dialect: Dialect
    call: Call
    deployment: Deployment
    principal: Principal
    response_id: str
    """What its answer is stored and billed under."""
    created_at: int
    """Microseconds since the epoch."""
    window: str = "asap"
    hold: Hold | None = None
    """The money that is reserved for it, where its organization has to have any."""
    lead: Lead | None = None
    """Its idempotency key, where it has one."""
    claim: Claim | None = None
    """Its lease, where it waited in the queue; its failures are then its worker's to judge."""
    begun_at: int = 0
    """When it left the queue, in microseconds since the epoch."""
    on_miss: OnMiss = "escalate"
    """What follows where it is late."""
    hook: Hook | None = None
    """Whom to call when it is done, where its request says so and its client waits; the queue keeps the others'."""
    asked: Body | None = None
    """What the client sent, where that is more than `call` has: what was said to this server alone."""


class Outcome(Struct):
    """What came of it; filled while it runs, so that a departed client leaves a true record too."""

    status: int = 0
    target: str = ""
    fidelity: Fidelity = "verbatim"
    losses: Losses = ()
    """What its translation left out, of the request and of the answer."""
    attempts: int = 0
    usage: Usage | None = None
    first_token: float | None = None
    seconds: float = 0.0
    error: str | None = None
    departed: bool = False
    refused: bool = False
    """A target's last word: the request itself is at fault, and no other try would help."""
    ours: bool = False
    """It failed, and the client cannot mend it, whichever status the preset tells."""
    answer: bytes | None = None
    """What was given, for the store: a body, or the events of a stream, joined."""
    answer_id: str | None = None
    content_type: bytes = b"application/json"
    standing: Standing | None = None
    """How the limits stood once it was admitted, where there are any."""
    tap: StreamTap | None = None
    """What its stream goes through, which knows how to end it."""
    recorded: bool = False
    """Whether its record was handed over already."""
