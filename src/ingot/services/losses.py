"""Losses of a translation as a header tells them.

Decides what stands in the header and how much of it. Knows nothing of what was lost.
"""

import re
from typing import Final

from ingot.canonical import Loss, Losses

HEADER: Final = b"x-ingot-loss"
HEADER_BYTES: Final = 1024
"""Of all losses in the header; what is beyond is counted there, and told in the record."""

# What cannot stand in a header, or would end a loss there.
_UNTOLD: Final = re.compile(r"[^ !-:<-~]|%")


def header_line(losses: Losses) -> bytes:
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


def _plain(loss: Loss) -> str:
    """A loss in the letters of a header: paths hold what clients called their fields."""
    return _UNTOLD.sub(_escaped, f"{loss.path or 'answer'}={loss.reason}")


def _escaped(found: re.Match[str]) -> str:
    return "".join([f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace")])
