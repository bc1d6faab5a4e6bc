"""Tries rows against a server, one after the other, and tells each verdict as soon as it is there."""

from collections.abc import AsyncIterator, Iterable
from typing import Final

from ingot.conformance.record import Failed, Row, Skipped, Verdict
from ingot.conformance.subject import Subject, Unreachable

MISSHAPEN: Final = (LookupError, TypeError, AttributeError)
"""What a row's walk through an answer raises where a key, an item or an object is not there."""


async def run(subject: Subject, rows: Iterable[Row]) -> AsyncIterator[Verdict]:
    """The verdicts of these rows; raises Unreachable where the server does not even list its models or refuse to."""
    await subject.call("GET", "/models")
    for each in rows:
        yield await try_row(subject, each)


async def try_row(subject: Subject, row: Row) -> Verdict:
    """What comes of one row; a server that gives no answer, or one in which nothing is where it belongs, has failed it."""
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
    except MISSHAPEN as fault:
        seen = f"one that cannot be read ({type(fault).__name__}: {fault})"
        return Verdict(row.id, preset, row.says, "fail", expected="an answer in the usual shape", seen=seen)
    return Verdict(row.id, preset, row.says, "pass")
