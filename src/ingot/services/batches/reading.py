"""Where the requests of a batch are read from, piece by piece: a body on disk, or a file of lines.

    body --next_requests--.
                           +--> Intake --> jobs that are full
    file --next_lines-----'

One way for batches that are made and for batches that are only asked about. Works on threads; knows no store.
"""

from collections.abc import Iterator, Mapping
from typing import BinaryIO, Final

from ingot import rawstream
from ingot.dialects import batches as wire
from ingot.errors import InvalidRequest
from ingot.rawjson import clip
from ingot.scheduling.windows import Window
from ingot.services.batches.intake import Chunk, Intake
from ingot.store.blobs import Draft

PIECE: Final = 256 * 1024
VERSION: Final = {b"anthropic-version": b"2023-06-01"}
"""Of requests for messages in a file, which has no headers."""


def place_in_body(number: int) -> str:
    """Where a request stands in a body."""
    return f"{wire.REQUESTS}[{number}]"


def reopened(draft: Draft) -> BinaryIO:
    """What was spooled, from its beginning."""
    draft.flush()
    return draft.path.open("rb")


def next_requests(spool: BinaryIO, values: rawstream.Values, intake: Intake) -> tuple[bool, list[Chunk]]:
    """Whether there is more of a spool, and the jobs that are full with the next piece of it."""
    piece = spool.read(PIECE)
    if not piece:
        values.close()
        if not intake.count:
            raise InvalidRequest(
                "'requests' is empty: a batch has at least one.", param=wire.REQUESTS, code="empty_array"
            )
    start = intake.count
    found = [
        intake.take(start + place, item) for place, item in enumerate(values.feed(piece) if piece else ())
    ]
    return bool(piece), [chunk for chunk in found if chunk is not None]


def next_lines(handle: BinaryIO, lines: rawstream.Lines, intake: Intake) -> tuple[bool, list[Chunk]]:
    """Whether there is more of a file, and the jobs that are full with the next piece of it."""
    piece = handle.read(PIECE)
    found: Iterator[tuple[int, bytes]] = lines.feed(piece) if piece else lines.close()
    chunks = [intake.take(number, line) for number, line in found]
    if not piece and not intake.count:
        raise InvalidRequest("The file has no requests.", code="empty_file")
    return bool(piece), [chunk for chunk in chunks if chunk is not None]


def check_purpose(which: str, purpose: str) -> None:
    """Raises InvalidRequest where a file is not for batches."""
    if purpose != "batch":
        raise InvalidRequest(
            f"The file '{which}' is for '{purpose}'. Upload it with the purpose 'batch'.",
            param="input_file_id",
        )


def asked_window(told: Mapping[str, str | None], known: Mapping[str, Window]) -> str | None:
    """The window of requests that name none, by the places that may name it; None leaves it to their models.

    Raises InvalidRequest that names the place.
    """
    found = {place: name for place, name in told.items() if name not in (None, wire.DAY)}
    for place, name in found.items():
        if name not in known or not known[name].batchable:
            fit = [each.name for each in known.values() if each.batchable]
            raise InvalidRequest(
                f"Invalid value for '{place}': expected '{wire.DAY}', or a window that takes batches "
                f"({', '.join(fit)}), but got '{clip(str(name))}'.",
                param=place,
            )
    if len(set(found.values())) > 1:
        (one, its), (other, theirs) = list(found.items())[:2]
        raise InvalidRequest(
            f"'{other}' is '{theirs}' and '{one}' is '{its}'. Send one of them, or the same in both.",
            param=other,
        )
    return next(iter(found.values()), None)
