"""What a batch is promised before it is seen: its requests by model and window, each part let in with a finish of its own.

    jobs --Parts--> Load of each model and window --admit--> Quote: its jobs get targets, evenly up to the finish
                                                   '-------> 429 `capacity`: nothing of the batch is taken

Decides nothing itself: the desk does. A batch that is refused comes again as the same by its sizes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from ingot.scheduling.fairness import service
from ingot.scheduling.quotes import targets
from ingot.services.batches.intake import Chunk
from ingot.services.desk import Load
from ingot.services.grants import Grant
from ingot.services.quoting import admit, fingerprint
from ingot.services.runtime import Runtime
from ingot.store.batches import BatchRow
from ingot.store.queue import Job
from ingot.store.schema import micros

Key = tuple[str, str]
"""A model, and a window."""


@dataclass(slots=True)
class Part:
    """Requests of one model in one window."""

    items: int = 0
    read: int = 0
    written: int = 0
    largest: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Parts:
    """A batch by models and windows."""

    found: dict[Key, Part] = field(default_factory=dict)

    def add(self, chunk: Chunk) -> None:
        """Counts the requests of a job."""
        part = self.found.setdefault((chunk.model, chunk.window), Part())
        part.items += len(chunk.members)
        for each in chunk.members:
            part.read += each.read
            part.written += each.written
            if service(each.read, each.written) > service(*part.largest):
                part.largest = (each.read, each.written)


async def promised(
    runtime: Runtime, batch: BatchRow, jobs: Sequence[Job], *, parts: Parts, grant: Grant
) -> list[Job]:
    """The jobs with their targets; raises RateLimited where a part could not be finished in its window."""
    found: dict[str, Job] = {}
    for (model, window), part in parts.found.items():
        quote = await admit(runtime, _load(batch, model, window, part=part, grant=grant))
        own = [job for job in jobs if (job.model, job.window) == (model, window)]
        moments = targets(quote, [float(job.estimate * (job.hi - job.lo + 1)) for job in own])
        for job, moment in zip(own, moments, strict=True):
            found[job.id] = replace(job, target_at=min(micros(moment), job.due_at))
    return [found[job.id] for job in jobs]


def _load(batch: BatchRow, model: str, window: str, *, part: Part, grant: Grant) -> Load:
    sizes = f"{part.items} {part.read} {part.written}"
    return Load(
        org_id=batch.org_id,
        model=model,
        window=window,
        weight=grant.weight,
        items=part.items,
        read=math.ceil(part.read / part.items),
        written=math.ceil(part.written / part.items),
        largest=part.largest,
        batch=True,
        key=fingerprint(batch.endpoint, model, window, sizes),
    )
