"""A stream in the background, for whoever wants to read it: from its beginning or on from an event, as it comes.

    events of the latest run, each with its number as `id` --> the end that its run wrote
                                                          '-> an error event: it failed, was cancelled, or was begun anew

A reader that had events of a run which was lost is told so: what follows would not fit behind them. Knows no wire format:
an error is an event by `tell`.
"""

from collections.abc import AsyncIterator, Callable
from typing import Final

from ingot.errors import ApiError, ClientError, InvalidRequest, NotFound, PlatformError
from ingot.rawjson import clip
from ingot.services.jobs import Jobs
from ingot.signals.signal import EVENTS
from ingot.store.waiting import Record

LOOK_SECONDS: Final = 0.25
LOOKS_AFTER_END: Final = 8
"""How often the last events are looked for once the result is there: they follow it at once, unless a process died."""

LOST: Final = -1
"""No run's epoch: that of events which are gone."""

Tell = Callable[[ApiError], bytes]


async def follow(
    jobs: Jobs, org_id: str, which: str, *, after: int | None, tell: Tell
) -> AsyncIterator[bytes]:
    """The events behind `after`, of all there are without it; raises InvalidRequest before the first."""
    epoch: int | None = None
    if after is not None:
        epoch = await jobs.event_epoch(which, after)
        first = await jobs.first_event(which)
        if epoch is None and first is not None and after < first:
            epoch = LOST
        elif epoch is None:
            raise InvalidRequest(
                f"'starting_after' is {after}, and no event of '{clip(which)}' has that number yet. Leave it out to get "
                "them all.",
                param="starting_after",
            )
    return _events(jobs, org_id, which, after=after, epoch=epoch, tell=tell)


async def _events(
    jobs: Jobs, org_id: str, which: str, *, after: int | None, epoch: int | None, tell: Tell
) -> AsyncIterator[bytes]:
    at = -1 if after is None else after
    looks = LOOKS_AFTER_END
    while True:
        mark = jobs.signal.mark(EVENTS)
        found = await jobs.events(which, after=at)
        for event in found:
            if epoch is not None and event.epoch != epoch:
                yield tell(_restarted(which))
                return
            if not event.data:
                return
            epoch, at = event.epoch, event.seq
            # A comment is no event: with a number it would be one without data, which clients stumble over.
            yield event.data if event.data.startswith(b":") else b"id: %d\n%b" % (event.seq, event.data)
        if found:
            continue
        record = await jobs.find(org_id, which)
        if record is None or record.ended is not None:
            looks -= 1
            error = _end_of(record, which)
            if error is not None or not looks:
                yield tell(error or _broken_off(which))
                return
        await jobs.signal.wait(EVENTS, mark, LOOK_SECONDS)


def _end_of(record: Record | None, which: str) -> ApiError | None:
    """Why nothing follows; None where the last events are on their way."""
    if record is None or record.ended is None:
        return NotFound(f"'{clip(which)}' was deleted.")
    state = record.ended.state
    if state == "cancelled":
        return ClientError(f"'{clip(which)}' was cancelled.", code="cancelled")
    if state == "failed":
        return PlatformError(
            f"'{clip(which)}' failed. Its record says why: get it without 'stream'.", code=record.ended.error
        )
    return None


def _restarted(which: str) -> ApiError:
    return PlatformError(
        f"The process that worked on '{clip(which)}' ended, and the answer was begun anew: what follows does not continue "
        "what you have. Stream it again without 'starting_after', or get it whole once it is completed.",
        code="stream_restarted",
    )


def _broken_off(which: str) -> ApiError:
    return PlatformError(
        f"The end of this stream was lost, and the answer is there: get '{clip(which)}' without 'stream'.",
        code="stream_incomplete",
    )
