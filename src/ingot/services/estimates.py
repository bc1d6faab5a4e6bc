"""What an answer used where its target did not say so: tokens from the text that came, and from what is known of the target.

    told, and no text after it                what the target counted, also in the middle of a stream
    told, text after it, and no proper end    what it counted, and the text since then
    not told                                  all of the text

    text to tokens      a target that sends a token an event    the pieces that came
                        one that sends several                  bytes / bytes a token, never fewer than the pieces

    input             bytes of the text that the model reads / bytes a token, and a fixed number for each picture, sound or file

A target that tells its usage teaches how it streams and what a token of its prompts and answers is; of one that never told, the
text decides: pieces no longer than tokens are tokens. A count that cannot be is no lesson for later ones. Whatever is not the target's own last count is marked as estimated. Decides nothing
about prices, and refuses to know who is billed.
"""

from math import ceil
from typing import Final

from msgspec import Struct

from ingot import canonical
from ingot.dialects.dialect import Call, Said, StreamTap, Usage
from ingot.dialects.promptage import length_of_request
from ingot.dialects.wordage import Length, length_of_answer
from ingot.events import UsageTold

BYTES_A_TOKEN: Final = 4.0
"""Until a target has told otherwise: English, and by their bytes most scripts, are near it."""
PROMPTS: Final = 64
"""Prompts that teach: what a token of them is does not change, and to measure one takes time."""
LONGEST_TOKEN: Final = 7
"""Characters of a piece, on average, up to which it is taken for one token; English tokens have four to five."""
SLACK: Final = 8
"""Characters more for a stream of a few pieces, where one long word is the average."""
SINGLE: Final = 1.1
"""Tokens a piece up to which a target is one of a token an event: ends of answers are counted and bring no text."""
LEARNING: Final = 0.05
ENOUGH: Final = 16
"""Tokens of an answer or a prompt that teaches: in fewer, those without text weigh too much."""
MEDIA_TOKENS: Final = 1_000
"""For each picture, sound or file within a request, whatever its bytes."""

Place = tuple[str, str]
"""A deployment and one of its targets."""


class _Habit(Struct):
    """How a target streams: sums over its answers, older ones counting less; and what its first prompts came to."""

    pieces: float = 0.0
    tokens: float = 0.0
    size: float = 0.0
    prompts: int = 0
    asked_tokens: int = 0
    asked_size: int = 0


class Estimates:
    """What one process has learned of the targets' answers."""

    __slots__ = ("_habits",)

    def __init__(self) -> None:
        self._habits: dict[Place, _Habit] = {}

    def stream(self, call: Call, tap: StreamTap, *, place: Place, added: int = 0) -> Usage:
        """What a stream used that has ended or was left; `added` are bytes of text that went before the request's."""
        told, said = tap.usage, tap.said
        if told is None:
            return _usage(self._input(call, added, place=place), self._tokens(call, said, place=place))
        if _left_out(call, told, pieces=said.pieces):
            rest = said
        elif (tap.done or tap.finished) and not tap.failed:
            self._learn(call, told, said, place=place)
            self._learn_prompt(call, told, added, place=place)
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
        added: int = 0,
    ) -> Usage:
        """What a whole answer used; `added` as for a stream."""
        if told is not None and not _left_out(call, told, pieces=1):
            self._learn_prompt(call, told, added, place=place)
            return told
        length = length_of_answer(answer)
        if told is not None:
            return (
                told if not length or not length[1] else _with(told, self._whole(call, length, place=place))
            )
        # Of an unknown shape all counts.
        length = length or (len(answer), len(answer))
        return _usage(self._input(call, added, place=place), self._whole(call, length, place=place))

    def prompt(self, call: Call, *, place: Place, added: int = 0) -> int:
        """Tokens of a request that nobody has counted; `added` are bytes of text that go before it."""
        return self._input(call, added, place=place)

    def _input(self, call: Call, added: int, *, place: Place) -> int:
        """Tokens of a request by what it says; media are a fixed number each, for their bytes say nothing of it."""
        habit = self._habits.get(place)
        ratio = BYTES_A_TOKEN
        if habit is not None and habit.asked_tokens:
            # Templates and hidden prompts count as well, and make the bytes of a token few.
            ratio = min(max(habit.asked_size / habit.asked_tokens, 1.0), 8.0)
        asked = length_of_request(call.body.value)
        # A token is a byte at least: for more no money is held.
        tokens = min(ceil((asked.size + added) / ratio), call.size + added)
        return tokens + MEDIA_TOKENS * asked.media

    def _learn_prompt(self, call: Call, told: Usage, added: int, *, place: Place) -> None:
        habit = self._habits.get(place)
        if told.input < ENOUGH or (habit is not None and habit.prompts >= PROMPTS):
            return
        asked = length_of_request(call.body.value)
        size = asked.size + added
        # What media came to is not told, and a token is a byte at least: more are a count that cannot be.
        if asked.media or told.input > size:
            return
        if habit is None:
            habit = self._habits[place] = _Habit()
        habit.prompts += 1
        habit.asked_tokens += told.input
        habit.asked_size += size

    def _whole(self, call: Call, length: Length, *, place: Place) -> int:
        return self._by_text(call, Said(1, *length), place=place)

    def _tokens(self, call: Call, said: Said, *, place: Place) -> int:
        """Tokens of output that came in pieces."""
        habit = self._habits.get(place)
        several = habit is not None and habit.pieces > 0 and habit.tokens > SINGLE * habit.pieces
        if not several and said.characters <= LONGEST_TOKEN * said.pieces + SLACK:
            return said.pieces
        return self._by_text(call, said, place=place)

    def _by_text(self, call: Call, said: Said, *, place: Place) -> int:
        """Tokens of a text, at least one for each piece, and no more than the client allowed."""
        if call.max_tokens == 0:
            return 0
        habit = self._habits.get(place)
        ratio = BYTES_A_TOKEN if habit is None or not habit.tokens else max(1.0, habit.size / habit.tokens)
        tokens = ceil(said.size / ratio)
        if call.max_tokens is not None:
            tokens = min(tokens, call.max_tokens * max(call.n, call.drafts))
        return max(said.pieces, tokens)

    def _learn(self, call: Call, told: Usage, said: Said, *, place: Place) -> None:
        # Thoughts may be counted and not shown, drafts are: such answers tell nothing of the text that comes.
        if told.output < ENOUGH or told.reasoning or call.drafts > call.n:
            return
        # A token is a byte at least, and no more are given than the client allowed: a count beyond these is none.
        if told.output > said.size or (
            call.max_tokens is not None and told.output > call.max_tokens * call.n
        ):
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


def as_told(usage: Usage) -> UsageTold:
    """An estimate as if the target had told it, for answers that must have counts."""
    return UsageTold(canonical.Usage(input=usage.input, output=usage.output))
