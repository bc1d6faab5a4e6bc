"""Decide the network: a small decoder of the llama family (RMSNorm, RoPE, SwiGLU, tied embeddings)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes; each matrix dimension is a multiple of 32, as Q8_0 blocks need."""

    vocab: int
    width: int = 192
    layers: int = 6
    heads: int = 6
    hidden: int = 512
    rope_base: float = 500_000.0
    epsilon: float = 1e-5

    @property
    def head(self) -> int:
        """The width of one head."""
        return self.width // self.heads


class Norm(nn.Module):
    """Scale by the root mean square."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension."""
        return functional.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.epsilon)


class Block(nn.Module):
    """Attention, then the gated feed-forward part, each added to the stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.attention_norm = Norm(shape.width, shape.epsilon)
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)
        self.feed_norm = Norm(shape.width, shape.epsilon)
        self.gate_up = nn.Linear(shape.width, 2 * shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Run one layer over (batch, time, width)."""
        batch, time, width = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(batch, time, 3, self.shape.heads, self.shape.head)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(
            turn(q, cos, sin), turn(k, cos, sin), v, is_causal=True
        )
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, time, width))
        gate, up = self.gate_up(self.feed_norm(x)).chunk(2, dim=-1)
        return x + self.down(functional.silu(gate) * up)


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the two halves of each head by the position (the exporter reorders rows for the engine)."""
    low, high = x.chunk(2, dim=-1)
    return torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1)


class Model(nn.Module):
    """The whole network; the output layer shares the embedding's weights."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.vocab, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.width, shape.epsilon)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                scale = 0.02 if "embed" in name else shape.width**-0.5
                nn.init.normal_(
                    weight, std=scale if "out." not in name and "down." not in name else scale * 0.2
                )

    def angles(self, time: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Give the cosine and sine of each position's turn."""
        half = torch.arange(0, self.shape.head, 2, device=device, dtype=torch.float32)
        speed = self.shape.rope_base ** (-half / self.shape.head)
        phase = torch.arange(time, device=device, dtype=torch.float32)[:, None] * speed[None, :]
        return phase.cos(), phase.sin()

    def forward(self, tokens: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Give logits for all positions, or only for the flat positions chosen."""
        x = self.embed(tokens)
        cos, sin = self.angles(tokens.shape[1], tokens.device)
        cos, sin = cos.to(x.dtype), sin.to(x.dtype)
        for block in self.blocks:
            x = block(x, cos, sin)
        if chosen is not None:
            x = x.reshape(-1, x.shape[-1])[chosen]
        return functional.linear(self.norm(x), self.embed.weight)

    def size(self) -> int:
        """Count the parameters."""
        return sum(weight.numel() for weight in self.parameters())
