"""What the rules on an answer are to a stream whose events spell it out: levels of rules, and one event after the other.

Reads what kind an event is and leaves what is no event as it is; which rules count for which event is said by who knows
the dialect (`message_events`, `response_events`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

Fills = Callable[[str], bool]
"""Whether a field that is missing is filled in, by its name."""
Event = dict[str, msgspec.Raw]

members: Final = msgspec.json.Decoder(Event)
"""Reads an object as the bytes of its members."""
_text: Final = msgspec.json.Decoder(str)


class Level(Protocol):
    """The rules on the members of one object."""

    def apply(self, data: bytes, fills: Fills = ..., inner: Fills = ...) -> bytes:
        """The object as the rules leave it; `inner` counts for what lies below."""
        ...

    def below(self, name: str) -> "Level | None":
        """The rules on the members of what is found under a name."""
        ...

    def silences(self, name: str) -> bool:
        """Whether nothing of what the target gave under a name goes on."""
        ...


def every(_: str) -> bool:
    """All are."""
    return True


def none(_: str) -> bool:
    """None is."""
    return False


class EventRules(ABC):
    """The rules of one stream."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes | None:
        """What goes on of one event; its very bytes where nothing changes."""
        try:
            event = members.decode(data)
            kind = _text.decode(event.get("type", msgspec.Raw(b'""')))
            return self._ruled(kind, data, event)
        except msgspec.DecodeError:
            return data  # not ours to mend: the client sees what the upstream wrote

    def end(self) -> bytes | None:
        """Nothing was held back."""
        return None

    @abstractmethod
    def _ruled(self, kind: str, data: bytes, event: Event) -> bytes | None:
        """The event as the rules leave it; raises msgspec.DecodeError where it is none."""
