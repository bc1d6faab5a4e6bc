r"""The canonical events of a streamed answer, and the fold that makes the whole answer of them.

    target's SSE data --StreamDecoder.feed--> events --StreamEncoder.feed--> client's SSE bytes
                                                 \--fold--> Answer

    Started
      PartStarted --> its deltas --> PartEnded        for each part of each choice
      LogprobsDelta, Noted                            at any time
      Finished                                        for each choice, behind its parts
    UsageTold                                         any time, the last counts
    Ended | Failed                                    neither: the stream broke off

What a codec author relies on:

- `choice` is the alternative's index; `part` counts the parts of a choice from 0 in the order in which they start.
- `PartStarted.value` is the part as far as it is known: texts and arguments empty, a call with its id and name. A part
  that has no deltas (`NativePart`, redacted reasoning) comes whole. Deltas append; `index` is the paragraph.
- Every part that starts ends before its choice finishes, but where the stream breaks off. Usually one part is open at a
  time, and the next starts behind it. `chat` may interleave parallel tool calls: then several are open, and an
  encoder whose dialect cannot say so holds back all but the first.
- `UsageTold` holds all counts so far, not what is new. A decoder whose target tells them in pieces adds up.
- A decoder makes no event of what it cannot use, but lists it as a `Loss`.

`fold(events)` equals what the same dialect's `decode_answer` makes of the same answer unstreamed, except for places
(`at`), which a stream has none of. Knows no wire format.
"""

from ingot.events.folding import Folder, fold
from ingot.events.kinds import (
    AnyEvent,
    ArgumentsDelta,
    Cited,
    Ended,
    Event,
    Failed,
    Finished,
    LogprobsDelta,
    Noted,
    PartEnded,
    PartStarted,
    Ping,
    ReasoningDelta,
    RefusalDelta,
    Sealed,
    Started,
    SummaryDelta,
    TextDelta,
    UsageTold,
)

__all__ = [
    "AnyEvent",
    "ArgumentsDelta",
    "Cited",
    "Ended",
    "Event",
    "Failed",
    "Finished",
    "Folder",
    "LogprobsDelta",
    "Noted",
    "PartEnded",
    "PartStarted",
    "Ping",
    "ReasoningDelta",
    "RefusalDelta",
    "Sealed",
    "Started",
    "SummaryDelta",
    "TextDelta",
    "UsageTold",
    "fold",
]
