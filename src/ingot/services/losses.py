"""What becomes of losses: told in a header, or a reason to refuse the request.

Decides how they are told. Refuses to know where they come from.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from ingot.canonical import Loss, Losses, matters
from ingot.catalog import Deployment
from ingot.errors import Unsupported

HEADER: Final = b"x-ingot-loss"
HEADER_BYTES: Final = 1024
"""Of all losses in the header; what is beyond is counted there, and told in the record."""

# What cannot stand in a header, or would end a loss there.
_UNTOLD: Final = re.compile(r"[^ !-:<-~]|%")


class Lost(msgspec.Struct, frozen=True):
    """What a translation left out: its place in the request, or in the target's answer, and why."""

    path: str
    reason: str


class Lossy(Unsupported):
    """The deployment refuses what this target cannot be told."""


def joined(*several: Losses) -> Losses:
    """All losses in order, each once."""
    return tuple(dict.fromkeys(loss for losses in several for loss in losses))


def refuse_lossy(losses: Losses, deployment: Deployment) -> None:
    """Raises Lossy where something is lost that may change the answer, unless the deployment has that told alone."""
    if deployment.on_loss == "warn":
        return
    asked = tuple(loss for loss in losses if matters(loss))
    if asked:
        raise _refusal(asked, deployment.name)


def _refusal(losses: Losses, deployment: str) -> Lossy:
    first = losses[0]
    more = f" and {len(losses) - 1} more" if len(losses) > 1 else ""
    return Lossy(
        f"'{first.path}' cannot be translated for the model '{deployment}': {first.reason}{more}. Leave it out, choose a "
        'model that takes it, or have whoever runs this server set on_loss = "warn" for the model.',
        param=first.path or None,
    )


def header_line(losses: Sequence[Loss | Lost]) -> bytes:
    """The header that reports losses: `path=reason; path=reason; +2 more`. Empty where nothing was lost."""
    if not losses:
        return b""
    told: list[str] = []
    room = HEADER_BYTES
    for loss in losses:
        text = _plain(loss)
        room -= len(text) + 2
        if room < 0 and told:
            told.append(f"+{len(losses) - len(told)} more")
            break
        told.append(text[:HEADER_BYTES])
    return b"%b: %b\r\n" % (HEADER, "; ".join(told).encode("ascii"))


def _plain(loss: Loss | Lost) -> str:
    """A loss in the letters of a header: paths hold what clients called their fields."""
    return _UNTOLD.sub(_escaped, f"{loss.path or 'answer'}={loss.reason}")


def _escaped(found: re.Match[str]) -> str:
    return "".join([f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace")])
