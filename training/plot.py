"""Decide how the loss log is drawn: `python plot.py loss.csv loss.svg`, one curve on a logarithmic scale."""

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 720, 360, 56, 40, 28, 16


def points(path: Path) -> list[tuple[float, float, float]]:
    """Read (millions of tokens, loss, rate factor)."""
    with path.open(newline="") as file:
        return [
            (int(row["tokens"]) / 1e6, float(row["loss"]), float(row["rate"])) for row in csv.DictReader(file)
        ]


def smooth(values: list[float], share: float = 0.3) -> list[float]:
    """Average with what came before, so that the trend is seen."""
    kept: list[float] = []
    for value in values:
        kept.append(value if not kept else kept[-1] * (1 - share) + value * share)
    return kept


def draw(rows: list[tuple[float, float, float]]) -> str:
    """Write the picture as SVG."""
    last = max(tokens for tokens, _, _ in rows)
    losses = [loss for _, loss, _ in rows]
    low, high = math.floor(math.log10(min(losses)) * 2) / 2, math.ceil(math.log10(max(losses)) * 2) / 2

    def x(tokens: float) -> float:
        return LEFT + tokens / last * (WIDTH - LEFT - RIGHT)

    def y(loss: float) -> float:
        return TOP + (high - math.log10(loss)) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="18" fill="#222222">demo-tiny: loss on the assistant\'s tokens (nats, log scale)</text>',
    ]
    for tick in [value * 10.0**power for power in range(-3, 2) for value in (1, 2, 5)]:
        if low <= math.log10(tick) <= high:
            parts.append(
                f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#dddddd"/>'
            )
            parts.append(
                f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end" fill="#555555">{tick:g}</text>'
            )
    step = 10 ** math.floor(math.log10(last))
    step = step / 2 if last / step < 3 else step
    for index in range(int(last / step) + 1):
        at = index * step
        parts.append(
            f'<text x="{x(at):.1f}" y="{HEIGHT - 18}" text-anchor="middle" fill="#555555">{at:g}M</text>'
        )
    parts.append(
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 3}" text-anchor="middle" fill="#555555">tokens seen</text>'
    )
    for values, colour, thick in ((losses, "#b9cbe4", 1), (smooth(losses), "#1f5fae", 2)):
        line = " ".join(
            f"{x(tokens):.1f},{y(loss):.1f}" for (tokens, _, _), loss in zip(rows, values, strict=True)
        )
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{thick}"/>')
    decay = next((tokens for tokens, _, rate in rows if 0 < rate < 1 and tokens > last / 10), None)
    if decay is not None:
        parts.append(
            f'<line x1="{x(decay):.1f}" x2="{x(decay):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#c0702b" '
            'stroke-dasharray="4 3"/>'
        )
        parts.append(
            f'<text x="{x(decay) - 4:.1f}" y="{TOP + 14}" text-anchor="end" fill="#c0702b">decay begins</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.write_text(draw(points(options.log)), encoding="utf-8")


if __name__ == "__main__":
    main()
