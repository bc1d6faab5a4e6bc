"""A target's stream of chat chunks as canonical events: the answer's top level, and its end.

    data --ChatDecoder--> Started, Noted, UsageTold, Failed, Ended
             choices --ChoiceDecoder--> all that belongs to one alternative

Decides when a stream has begun, failed or ended. Decides nothing about how events are told to a client.
"""

from typing import Any, Final

from msgspec import Raw

from ingot.canonical import (
    Extras,
    Loss,
    Losses,
    Origin,
)
from ingot.dialects.codecs.chat.answers import KNOWN_TOP
from ingot.dialects.codecs.chat.choice_decoder import ChoiceDecoder
from ingot.dialects.codecs.chat.choices import (
    STOPPED_BY,
    decode_failure,
    take_met,
)
from ingot.dialects.codecs.chat.counts import decode_usage
from ingot.dialects.codecs.leftovers import extras_of
from ingot.dialects.codecs.values import text_of
from ingot.dialects.cuts import dump, load, mend_all
from ingot.events import (
    AnyEvent,
    Ended,
    Failed,
    Noted,
    Started,
    UsageTold,
)
from ingot.sse import DONE

Json = dict[str, Any]
Events = list[AnyEvent]

# Padding differs from chunk to chunk and means nothing.
_KNOWN_TOP: Final = KNOWN_TOP | {"obfuscation"}


class ChatDecoder:
    """One stream; see `codec.StreamDecoder`."""

    __slots__ = ("_choices", "_expected", "_held", "_losses", "_met", "_origin", "_over", "_seen", "_started")

    def __init__(self, origin: Origin, choices: int = 1) -> None:
        self._origin = origin
        self._expected = choices
        self._choices: dict[int, ChoiceDecoder] = {}
        self._losses: list[Loss] = []
        self._met: str | None = None
        self._started = False
        self._over = False
        self._held: dict[str, Raw] = {}
        # The last values of fields that many servers repeat in every chunk.
        self._seen: Json = {}

    @property
    def losses(self) -> Losses:
        return tuple(self._losses)

    def feed(self, data: bytes) -> Events:
        """The events of a chunk; raises ValueError where it is none."""
        over = self._over
        if data.startswith(DONE):
            self._over = True
            return [] if over else [Ended()]
        if over:
            self._losses.append(Loss("", "answer", "an event behind the end of the stream"))
            return []
        chunk = load(data)
        if type(chunk) is not dict:
            raise ValueError("The target's stream holds an event that is no object.")
        error = chunk.get("error") or (chunk if chunk.get("object") == "error" else None)
        if error:
            self._over = True
            return [Failed(decode_failure(mend_all(error)))]
        choices = chunk.get("choices") or []
        if type(choices) is not list:
            raise ValueError("The target's stream holds choices that are no list.")
        events: Events = []
        # It may come before the chunk in which its choice ends.
        self._met = take_met(chunk) or self._met
        self._take_top(chunk, events, begins=bool(choices))
        for choice in choices:
            self._take_choice(choice, events)
        told = chunk.get("usage")
        if told is not None:
            self._take_usage(told, events)
        return events

    def close(self) -> Events:
        """`Ended` where every choice has its end: some servers leave out the stream's own."""
        ends = [choice.finished for choice in self._choices.values()]
        if self._over or len(ends) < self._expected or not all(ends):
            return []
        self._over = True
        return [Ended()]

    def _take_top(self, chunk: Json, events: Events, *, begins: bool) -> None:
        seen = self._seen
        changed = {
            name: chunk[name]
            for name in chunk
            if name not in _KNOWN_TOP and chunk[name] is not None and seen.get(name) != chunk[name]
        }
        tier, fingerprint = chunk.get("service_tier"), chunk.get("system_fingerprint")
        if not self._started:
            self._held.update({name: Raw(dump(value)) for name, value in changed.items()})
            seen.update(changed)
            # Some servers begin with a chunk that has neither an id nor a choice.
            if begins or chunk.get("id"):
                self._start(chunk, events)
        elif (
            changed
            or (tier or seen["tier"]) != seen["tier"]
            or (fingerprint or seen["print"]) != seen["print"]
        ):
            fields = {name: Raw(dump(value)) for name, value in changed.items()}
            events.append(
                Noted(
                    extras_of(fields, "chat"),
                    service_tier=text_of(tier),
                    fingerprint=text_of(fingerprint),
                )
            )
            seen.update(changed)
        else:
            return
        seen["tier"] = tier or seen.get("tier")
        seen["print"] = fingerprint or seen.get("print")

    def _start(self, chunk: Json, events: Events) -> None:
        self._started = True
        created = chunk.get("created")
        events.append(
            Started(
                self._origin,
                text_of(chunk.get("id")) or "",
                text_of(chunk.get("model")) or "",
                created if type(created) in (int, float) else None,
                text_of(chunk.get("service_tier")),
                text_of(chunk.get("system_fingerprint")),
                extras_of(self._held, "chat"),
            )
        )

    def _take_usage(self, told: Any, events: Events) -> None:
        usage = decode_usage(told)
        if usage is not None:
            events.append(UsageTold(usage))
        else:
            events.append(Noted(Extras("chat", {"usage": Raw(dump(told))})))

    def _take_choice(self, choice: Any, events: Events) -> None:
        if type(choice) is not dict or "message" in choice:
            raise ValueError("The target's stream holds a choice that is no piece of one.")
        index = choice.get("index")
        if type(index) is not int:
            index = 0
        state = self._choices.get(index)
        if state is None:
            state = self._choices[index] = ChoiceDecoder(index, self._origin, self._losses)
        if self._met and self._expected == 1 and choice.get("finish_reason"):
            choice.setdefault(STOPPED_BY, self._met)
        delta = choice.get("delta")
        if delta and type(delta) is dict:
            state.take_delta(delta, events)
        logprobs = choice.get("logprobs")
        if logprobs:
            state.take_logprobs(logprobs, events)
        state.take_rest(choice, events)
