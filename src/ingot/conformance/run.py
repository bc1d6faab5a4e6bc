"""Tries rows against a server, one after the other, and tells each verdict as soon as it is there."""

from collections.abc import AsyncIterator, Iterable

from ingot.conformance.record import Failed, Row, Skipped, Verdict
from ingot.conformance.subject import Subject, Unreachable


async def run(subject: Subject, rows: Iterable[Row]) -> AsyncIterator[Verdict]:
    """The verdicts of these rows; raises Unreachable where the server does not even list its models or refuse to."""
    await subject.call("GET", "/models")
    for each in rows:
        yield await try_row(subject, each)


async def try_row(subject: Subject, row: Row) -> Verdict:
    """What comes of one row; a server that gives no answer at all has failed it."""
    preset = subject.preset
    try:
        for surface in row.needs:
            if not await subject.offers(surface):
                return Verdict(
                    row.id, preset, row.says, "skip", reason=f"the server has no surface `{surface}`"
                )
        await row.checks[preset](subject)
    except Skipped as skipped:
        return Verdict(row.id, preset, row.says, "skip", reason=str(skipped))
    except Failed as failed:
        return Verdict(row.id, preset, row.says, "fail", expected=failed.expected, seen=failed.seen)
    except Unreachable as fault:
        return Verdict(row.id, preset, row.says, "fail", expected="an answer", seen=str(fault))
    return Verdict(row.id, preset, row.says, "pass")
