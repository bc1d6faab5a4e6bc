"""Results of tools right behind their calls, for dialects that take them nowhere else.

    call, text, result    call, result, text

Decides what stands where between a turn that calls and the next of the assistant. Refuses to know how it is written.
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from ingot.canonical import AnyPart, Loss, ToolCall, ToolResult, Turn, where

_BEHIND: Final = "results of tools stand right behind their calls there: it is sent behind them"


def results_first(turns: Sequence[Turn]) -> tuple[tuple[Turn, ...], list[Loss]]:
    """The turns with results before all that was said between a call and its results, and what changed its place."""
    told: list[Turn] = []
    losses: list[Loss] = []
    behind: list[Turn] = []
    called = False
    for turn in turns:
        if turn.role != "assistant":
            (behind if called else told).append(turn)
            continue
        # Neighbours of the assistant are one turn.
        called = (called and not behind) or any(isinstance(part, ToolCall) for part in turn.parts)
        told += _sorted(behind, losses)
        behind = []
        told.append(turn)
    return (*told, *_sorted(behind, losses)), losses


def _sorted(turns: list[Turn], losses: list[Loss]) -> list[Turn]:
    """These turns of one answer to calls, its results first; one that holds both becomes two."""
    kinds = [isinstance(part, ToolResult) for turn in turns for part in turn.parts]
    count = kinds.count(True)
    if not count or all(kinds[:count]):
        return turns
    results: list[Turn] = []
    rest: list[Turn] = []
    left = count
    for turn in turns:
        found: tuple[AnyPart, ...] = tuple([part for part in turn.parts if isinstance(part, ToolResult)])
        if left:
            losses += [
                Loss(where(turn.at, part.at), "earlier_answer", _BEHIND)
                for part in turn.parts
                if not isinstance(part, ToolResult)
            ]
        left -= len(found)
        if len(found) == len(turn.parts):
            (results if found else rest).append(turn)
        elif not found:
            rest.append(turn)
        else:
            results.append(replace(turn, parts=found, extras=None))
            said = tuple([part for part in turn.parts if not isinstance(part, ToolResult)])
            rest.append(replace(turn, parts=said))
    return [*results, *rest]
