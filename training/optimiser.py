"""Decide the update rule: orthogonalised momentum for matrices, AdamW for embeddings and norms.

Orthogonal updates need about half the tokens of AdamW here, and the work they add is small beside a batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor


def orthogonal(stack: Tensor, steps: int = 5) -> Tensor:
    """Bring the singular values of each matrix in the stack near one (a quintic Newton-Schulz iteration)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    flip = stack.shape[-2] > stack.shape[-1]
    x = stack.transpose(-1, -2) if flip else stack
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.transpose(-1, -2)
        x = a * x + (b * square + c * square @ square) @ x
    return x.transpose(-1, -2) if flip else x


class Orthogonal(torch.optim.Optimizer):
    """Momentum whose step is orthogonalised; fused matrices are split into square parts along their rows."""

    def __init__(
        self, weights: Iterable[tuple[Tensor, int]], *, lr: float, momentum: float = 0.95, decay: float = 0.02
    ) -> None:
        groups = [{"params": [weight], "parts": parts} for weight, parts in weights]
        super().__init__(groups, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # torch's step returns a loss or nothing
        """Update all matrices; those of one shape go through the iteration together."""
        del closure
        shapes: dict[tuple[int, int], list[tuple[Tensor, Tensor, float, float]]] = defaultdict(list)
        for group in self.param_groups:
            weight = group["params"][0]
            state = self.state[weight]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(weight)
            state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
            ahead = weight.grad.lerp(state["momentum"], group["momentum"])
            parts = zip(weight.chunk(group["parts"]), ahead.chunk(group["parts"]), strict=True)
            for part, update in parts:
                shapes[tuple(part.shape)].append((part, update, group["lr"], group["decay"]))
        for (rows, columns), entries in shapes.items():
            updates = orthogonal(torch.stack([update for _, update, _, _ in entries]))
            scale = max(1.0, rows / columns) ** 0.5
            for (part, _, lr, decay), update in zip(entries, updates, strict=True):
                part.mul_(1 - lr * decay).add_(update, alpha=-lr * scale)
