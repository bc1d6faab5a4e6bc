"""What an answer used where its target did not say so: tokens from the text that came, and from what is known of the target.

    told, and no text after it                what the target counted, also in the middle of a stream
    told, text after it, and no proper end    what it counted, and the text since then
    not told                                  all of the text

    text to tokens      a target that sends a token an event    the pieces that came
                        one that sends several                  bytes / bytes a token, never fewer than the pieces

A target that tells its usage teaches how it streams and what a token of its answers is; of one that never told, the text decides:
pieces no longer than tokens are tokens. Whatever is not the target's own last count is marked as estimated. Decides nothing
about prices, and refuses to know who is billed.
"""

import re
from math import ceil
from typing import Final

from msgspec import Struct

from ingot.dialects.dialect import Call, Said, StreamTap, Usage
from ingot.dialects.wordage import Length, length_of_answer

BYTES_A_TOKEN: Final = 4.0
"""Of answers, until a target has told otherwise: English, and by their bytes most scripts, are near it."""
INPUT_BYTES_A_TOKEN: Final = 3.0
LONGEST_TOKEN: Final = 7
"""Characters of a piece, on average, up to which it is taken for one token; English tokens have four to five."""
SLACK: Final = 8
"""Characters more for a stream of a few pieces, where one long word is the average."""
SINGLE: Final = 1.1
"""Tokens a piece up to which a target is one of a token an event: ends of answers are counted and bring no text."""
LEARNING: Final = 0.05
ENOUGH: Final = 16
"""Tokens of an answer that teaches: in fewer, those without text weigh too much."""
MEDIA_TOKENS: Final = 1_000
"""For each picture, sound or file within a request, whatever its bytes."""

Place = tuple[str, str]
"""A deployment and one of its targets."""

_MEDIA = re.compile(rb';base64,[^"]*|"data":\s*"[A-Za-z0-9+/=\\]{512,}')


class _Habit(Struct):
    """How a target streams: sums over its answers, older ones counting less."""

    pieces: float = 0.0
    tokens: float = 0.0
    size: float = 0.0


class Estimates:
    """What one process has learned of the targets' answers."""

    __slots__ = ("_habits",)

    def __init__(self) -> None:
        self._habits: dict[Place, _Habit] = {}

    def stream(
        self, call: Call, tap: StreamTap, *, place: Place, ratio: float | None = None, added: int = 0
    ) -> Usage:
        """What a stream used that has ended or was left; `ratio` is bytes of a request for each input token.

        `added` are bytes that went to the target before those of the request.
        """
        told, said = tap.usage, tap.said
        if told is None:
            return _usage(_input_tokens(call.body.data, ratio, added), self._tokens(call, said, place=place))
        if _left_out(call, told, pieces=said.pieces):
            rest = said
        elif (tap.done or tap.finished) and not tap.failed:
            self._learn(call, told, said, place=place)
            return told
        else:
            rest = tap.uncounted
        return _with(told, self._tokens(call, rest, place=place)) if rest.pieces else told

    def answer(
        self,
        call: Call,
        told: Usage | None,
        answer: bytes,
        *,
        place: Place,
        ratio: float | None = None,
        added: int = 0,
    ) -> Usage:
        """What a whole answer used."""
        if told is not None and not _left_out(call, told, pieces=1):
            return told
        length = length_of_answer(answer)
        if told is not None:
            return (
                told if not length or not length[1] else _with(told, self._whole(call, length, place=place))
            )
        # Of an unknown shape all counts.
        length = length or (len(answer), len(answer))
        return _usage(_input_tokens(call.body.data, ratio, added), self._whole(call, length, place=place))

    def _whole(self, call: Call, length: Length, *, place: Place) -> int:
        return self._by_text(call, Said(1, *length), place=place)

    def _tokens(self, call: Call, said: Said, *, place: Place) -> int:
        """Tokens of output that came in pieces."""
        habit = self._habits.get(place)
        several = habit is not None and habit.tokens > SINGLE * habit.pieces
        if not several and said.characters <= LONGEST_TOKEN * said.pieces + SLACK:
            return said.pieces
        return self._by_text(call, said, place=place)

    def _by_text(self, call: Call, said: Said, *, place: Place) -> int:
        """Tokens of a text, at least one for each piece, and no more than the client allowed."""
        if call.max_tokens == 0:
            return 0
        habit = self._habits.get(place)
        ratio = BYTES_A_TOKEN if habit is None else max(1.0, habit.size / habit.tokens)
        tokens = ceil(said.size / ratio)
        if call.max_tokens is not None:
            tokens = min(tokens, call.max_tokens * max(call.n, call.drafts))
        return max(said.pieces, tokens)

    def _learn(self, call: Call, told: Usage, said: Said, *, place: Place) -> None:
        # Thoughts may be counted and not shown, drafts are: such answers tell nothing of the text that comes.
        if told.output < ENOUGH or not said.size or told.reasoning or call.drafts > call.n:
            return
        habit = self._habits.get(place)
        if habit is None:
            habit = self._habits[place] = _Habit()
        left = 1 - LEARNING
        habit.pieces = habit.pieces * left + said.pieces
        habit.tokens = habit.tokens * left + told.output
        habit.size = habit.size * left + said.size


def _left_out(call: Call, told: Usage, *, pieces: int) -> bool:
    """Whether a count of no output stands against output that came: no count then."""
    return told.output == 0 and pieces > 0 and call.max_tokens != 0


def _usage(tokens: int, output: int) -> Usage:
    return Usage(input=tokens, output=output, estimated=True)


def _with(told: Usage, more: int) -> Usage:
    """A count, and output that it does not hold."""
    return Usage(
        input=told.input,
        cached_input=told.cached_input,
        cache_write=told.cache_write,
        output=told.output + more,
        reasoning=told.reasoning,
        estimated=True,
    )


def _input_tokens(body: bytes, ratio: float | None, added: int) -> int:
    """Tokens of a request; encoded media are a fixed number each, for their bytes say nothing of it."""
    text, media = len(body) + added, 0
    if text > 1_024:
        for found in _MEDIA.finditer(body):
            text -= len(found[0])
            media += 1
    # A model that is mostly shown pictures has a ratio that says nothing of its texts.
    known = INPUT_BYTES_A_TOKEN if ratio is None else min(max(ratio, 2.0), 8.0)
    return int(text / known) + MEDIA_TOKENS * media
