"""What every tap is: made for one stream, dressed once for a preset, and counting the output that came.

A stream that names its events, each by the `type` in it, is written by `naming`. Knows no dialect.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Self

import msgspec

from ingot.dialects.dialect import AS_IT_IS, Call, Reshape, Said, Turn, Usage
from ingot.dialects.envelope import EncodeError
from ingot.dialects.usage import USAGE
from ingot.dialects.wordage import Length
from ingot.errors import ApiError
from ingot.sse import BETWEEN, encode_event


class _Kind(msgspec.Struct):
    type: str = "error"


_kind = msgspec.json.Decoder(_Kind)


def naming(allowed: Callable[[str], object], /) -> Callable[[bytes], bytes]:
    """Writes data as an event under the name that its `type` gives it, where that is `allowed`.

    An error in another envelope has no type, and is one.
    """

    def named_event(data: bytes, /) -> bytes:
        if BETWEEN in data:
            return b"".join([named_event(each) for each in data.split(BETWEEN)])
        try:
            name = _kind.decode(data).type
        except ValueError:
            return encode_event(data)
        return encode_event(data, name.encode() if allowed(name) else None)

    return named_event


class Tap(ABC):
    """Follows one stream; see `dialect.StreamTap` for what each attribute says."""

    __slots__ = (
        "_call",
        "_characters",
        "_counted",
        "_path",
        "_public",
        "_renamed",
        "_size",
        "deltas",
        "done",
        "failed",
        "id",
        "request_id",
        "usage",
    )

    encode: ClassVar["staticmethod[[ApiError, str], tuple[int, bytes]]"]
    """How our errors look in the stream."""

    reshape: ClassVar[Reshape | None] = None
    """What a preset makes of the answers in it."""

    @classmethod
    def dressed(cls, encode: EncodeError, changes: Reshape | None = None, /) -> type[Self]:
        """The tap whose errors look as `encode` has them, and whose answers as `changes` does.

        A class of its own, so that no stream pays for it.
        """

        class Dressed(cls):  # type: ignore[valid-type,misc]  # mypy knows no base that is a variable
            __slots__ = ()
            reshape = changes

        Dressed.encode = staticmethod(encode)
        return Dressed

    def __init__(
        self,
        call: Call,
        /,
        *,
        model: str,
        public: str,
        usage: tuple[str, ...] = USAGE,
        turn: Turn = AS_IT_IS,
    ) -> None:
        self.usage: Usage | None = None
        self.deltas = 0
        self.done = False
        self.failed = False
        self.id: str | None = None
        self.request_id = ""
        self._call = call
        self._path = usage
        self._public = public
        self._renamed = public != model
        # The text that came, and all that had come when the upstream told its usage last.
        self._characters = 0
        self._size = 0
        self._counted = Said()
        self._begin(turn)

    @abstractmethod
    def _begin(self, turn: Turn) -> None:
        """Sets what this kind of tap holds besides."""

    @staticmethod
    @abstractmethod
    def frame(data: bytes, /) -> bytes:
        """Data as an event of this dialect."""

    @property
    def said(self) -> Said:
        """All output that came."""
        return Said(self.deltas, self._characters, self._size)

    @property
    def uncounted(self) -> Said:
        """What came of it after the upstream told its usage last."""
        return self.said.since(self._counted)

    def _add(self, length: Length) -> None:
        """Measures text that came."""
        self._characters += length[0]
        self._size += length[1]
