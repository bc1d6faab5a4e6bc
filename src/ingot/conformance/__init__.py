"""The conformance suite: whether a server at a URL keeps the rules of the service that a preset stands in for.

    registry --rows of a preset--> run --each row's check against the subject--> Verdict: pass, fail or skip

Knows the wire alone: what is expected stands in the rows, in words of their own, and is never taken from the preset that
a server runs, so that a rule which was changed there is found out here. Refuses to know how verdicts are shown.
"""

from ingot.conformance.record import Failed, Row, Skipped, Verdict
from ingot.conformance.registry import ROWS, known, rows_for
from ingot.conformance.run import run, try_row
from ingot.conformance.subject import Means, Subject, Unreachable
from ingot.conformance.wire import Address, Patience

__all__ = [
    "ROWS",
    "Address",
    "Failed",
    "Means",
    "Patience",
    "Row",
    "Skipped",
    "Subject",
    "Unreachable",
    "Verdict",
    "known",
    "rows_for",
    "run",
    "try_row",
]
