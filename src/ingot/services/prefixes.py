"""How the prompt of a request begins, as a short name: requests of one name find each other's beginning in a target's cache.

    prompt_cache_key given    the key
    else                      the instructions, or the first message where there are none

A name tells nothing of the text that it stands for. Decides what a beginning is; `scheduling.grouping` and `scheduling.choice`
decide what follows from it.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

CHARACTERS: Final = 4_096
"""As much of a beginning as tells two apart that are worth it: a cache keeps blocks of some tokens."""
LEAST: Final = 256
"""Of a shorter beginning nothing is saved, so it is no reason to keep requests together."""
FIELDS: Final = ("instructions", "system", "messages", "input", "prompt")
"""Where the text of a request begins, by what comes first."""

_encode = msgspec.json.Encoder().encode


def prefix_of(body: Mapping[str, Any]) -> str:
    """The name of a request's beginning; empty where it has none that matters."""
    key = body.get("prompt_cache_key")
    if isinstance(key, str) and key:
        return _named(key.encode())
    told = next((body[name] for name in FIELDS if body.get(name)), None)
    if isinstance(told, list):
        told = told[0]
    if told is None:
        return ""
    text = told.encode() if isinstance(told, str) else _encode(told)
    return _named(text[:CHARACTERS]) if len(text) >= LEAST else ""


def _named(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=8).hexdigest()
