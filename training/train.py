"""Decide how the model is trained: token budget, warm-up, constant rate, and a decay which may start on demand.

`touch RUN/decay` (or SIGUSR1) starts the decay phase at once; `--resume` goes on from the last checkpoint. With a
CUDA device the same script uses bf16 and takes minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from model import Model, Shape
from optimiser import Orthogonal
from torch import Tensor
from torch.nn import functional

Batch = tuple[Tensor, Tensor, Tensor, Tensor]


class Data:
    """Serve microbatches of conversations of like length, so that little is padded and none sees another."""

    def __init__(self, paths: list[Path], *, budget: int, seed: int, prompt_share: float) -> None:
        parts = [np.load(path) for path in paths]
        self.ids = np.concatenate([part["ids"] for part in parts])
        self.own = np.concatenate([part["own"] for part in parts])
        self.lengths = np.concatenate([part["lengths"] for part in parts])
        self.starts = np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])
        self.budget = budget
        self.rng = np.random.default_rng(seed)
        self.prompt_share = prompt_share

    def _groups(self) -> Iterator[np.ndarray]:
        order = self.rng.permutation(len(self.lengths))
        for at in range(0, len(order), 4096):
            window = order[at : at + 4096]
            window = window[np.argsort(self.lengths[window], kind="stable")]
            groups: list[np.ndarray] = []
            begin = 0
            for end in range(1, len(window) + 1):
                if end == len(window) or self.lengths[window[end]] * (end + 1 - begin) > self.budget:
                    groups.append(window[begin:end])
                    begin = end
            for index in self.rng.permutation(len(groups)):
                yield groups[index]

    def batches(self) -> Iterator[Batch]:
        """Give (inputs, chosen positions, their targets, their weights) without end."""
        while True:
            for group in self._groups():
                yield self._batch(group)

    def _batch(self, group: np.ndarray) -> Batch:
        width = int(self.lengths[group].max())
        tokens = np.zeros((len(group), width), dtype=np.int64)
        weight = np.zeros((len(group), width), dtype=np.float32)
        for row, index in enumerate(group):
            begin, length = self.starts[index], self.lengths[index]
            tokens[row, :length] = self.ids[begin : begin + length]
            own = self.own[begin : begin + length]
            seen = self.rng.random(length) < self.prompt_share
            weight[row, :length] = np.where(own, 1.0, np.where(seen, 0.3, 0.0))
        flat = weight[:, 1:].reshape(-1)
        chosen = np.nonzero(flat)[0]
        targets = tokens[:, 1:].reshape(-1)[chosen]
        return (
            torch.from_numpy(tokens[:, :-1].copy()),
            torch.from_numpy(chosen),
            torch.from_numpy(targets),
            torch.from_numpy(flat[chosen]),
        )


class Schedule:
    """Warm up, hold, and decay linearly to nothing once asked or once the budget nears its end."""

    def __init__(self, options: argparse.Namespace, decay_from: int | None, step: int) -> None:
        self.options = options
        self.first_step = step if options.minutes else 0
        self.begun = time.monotonic()
        self.decay_from = decay_from
        self.asked = False
        signal.signal(signal.SIGUSR1, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True

    def factor(self, step: int, seen: int) -> float:
        """Give the share of the full rate for this step."""
        warm = min(1.0, (step + 1 - self.first_step) / self.options.warmup)
        if self.options.minutes:
            left = 1 - (time.monotonic() - self.begun) / (60 * self.options.minutes)
            return max(0.0, min(warm, left / 0.75))
        if self.decay_from is None:
            due = seen >= self.options.tokens - self.options.decay_tokens
            if due or self.asked or (self.options.run / "decay").exists():
                self.decay_from = seen
        if self.decay_from is None:
            return warm
        return warm * max(0.0, 1 - (seen - self.decay_from) / self.options.decay_tokens)


def optimisers(model: Model, options: argparse.Namespace) -> list[torch.optim.Optimizer]:
    """Split the parameters between the two rules."""
    matrices, others = [], []
    for name, weight in model.named_parameters():
        if "blocks" in name and weight.dim() > 1:
            matrices.append((weight, 3 if "qkv" in name else 2 if "gate_up" in name else 1))
        else:
            others.append(weight)
    made = [
        Orthogonal(matrices, lr=options.matrix_lr),
        torch.optim.AdamW(others, lr=options.lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    for rule in made:
        for group in rule.param_groups:
            group["full"] = group["lr"]
    return made


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


class Trainer:
    """Hold the run's state and make its steps."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(options.seed)
        shape = Shape(
            vocab=options.vocab,
            width=options.width,
            layers=options.layers,
            heads=options.heads,
            hidden=options.hidden,
        )
        self.model = Model(shape).to(self.device)
        if options.compile:
            for block in self.model.blocks:  # Fusing the small operations gains about a fifth on two cores.
                block.forward = torch.compile(block.forward, dynamic=True)
        self.rules = optimisers(self.model, options)
        self.step = self.seen = 0
        decay_from = None
        if options.resume and (options.run / "last.pt").exists():
            state = torch.load(options.run / "last.pt", map_location=self.device, weights_only=False)
            self.model.load_state_dict(state["model"])
            for rule, kept in zip(self.rules, state["rules"], strict=True):
                full = [group["full"] for group in rule.param_groups]
                rule.load_state_dict(kept)
                for group, rate in zip(rule.param_groups, full, strict=True):
                    group["full"] = (
                        rate  # The command line's rate, and not the one the checkpoint was made with.
                    )
            self.step, self.seen, decay_from = state["step"], state["seen"], state["decay_from"]
        self.schedule = Schedule(options, decay_from, self.step)
        data = Data(options.data, budget=options.micro, seed=options.seed + self.step, prompt_share=0.1)
        self.batches = data.batches()

    def one_step(self) -> tuple[float, float, float]:
        """Gather gradients over one batch and update; give loss on own tokens, tokens and rate factor."""
        factor = self.schedule.factor(self.step, self.seen)
        total = weights = own_loss = own_count = 0.0
        count = 0
        while count < self.options.batch:
            tokens, chosen, targets, weight = (part.to(self.device) for part in next(self.batches))
            half = (
                torch.autocast("cuda", torch.bfloat16)
                if self.device.type == "cuda"
                else contextlib.nullcontext()
            )
            with half:
                logits = self.model(tokens, chosen)
            losses = functional.cross_entropy(logits.float(), targets, reduction="none")
            (losses * weight).sum().backward()
            own = weight == 1.0
            own_loss += float(losses.detach()[own].sum())
            own_count += float(own.sum())
            weights += float(weight.sum())
            count += tokens.numel()
        for parameter in self.model.parameters():
            parameter.grad.div_(weights)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for rule in self.rules:
            for group in rule.param_groups:
                group["lr"] = group["full"] * factor
            rule.step()
            rule.zero_grad(set_to_none=False)
        self.step += 1
        self.seen += count
        del total
        return own_loss / own_count, count, factor

    def keep(self) -> None:
        """Write the checkpoint."""
        state = {
            "model": self.model.state_dict(),
            "rules": [rule.state_dict() for rule in self.rules],
            "step": self.step,
            "seen": self.seen,
            "shape": asdict(self.model.shape),
            "decay_from": self.schedule.decay_from,
        }
        save(self.options.run / "last.pt", state)

    def run(self) -> None:
        """Train until the budget is spent, the decay is over, or RUN/stop appears."""
        log = (self.options.run / "loss.csv").open("a", newline="")
        writer = csv.writer(log)
        if not log.tell():
            writer.writerow(["step", "tokens", "loss", "rate"])
        kept = begun = time.monotonic()
        window: list[float] = []
        window_tokens = 0.0
        while True:
            loss, count, factor = self.one_step()
            window.append(loss)
            window_tokens += count
            if self.step % 20 == 0:
                now = time.monotonic()
                writer.writerow([self.step, self.seen, f"{np.mean(window):.4f}", f"{factor:.4f}"])
                log.flush()
                print(
                    f"step {self.step} tokens {self.seen / 1e6:.2f}M loss {np.mean(window):.4f} rate {factor:.3f} "
                    f"{window_tokens / (now - begun):.0f} tok/s",
                    flush=True,
                )
                begun, window, window_tokens = now, [], 0.0
            done = factor <= 0 or self.seen >= self.options.until or (self.options.run / "stop").exists()
            if done or time.monotonic() - kept > self.options.keep_seconds:
                self.keep()
                kept = time.monotonic()
            if done:
                return


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of checkpoints and the loss log")
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--vocab", type=int, required=True)
    for name, value in (
        ("width", 192),
        ("layers", 6),
        ("heads", 6),
        ("hidden", 512),
        ("seed", 7),
        ("warmup", 60),
        ("batch", 8192),
        ("micro", 4096),
        ("tokens", 40_000_000),
        ("decay-tokens", 6_000_000),
        ("threads", 2),
        ("keep-seconds", 180),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument(
        "--until", type=int, default=sys.maxsize, help="stop here, before the budget is spent"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=0.0,
        help="a short stage on the clock: warm up, and be down to zero then",
    )
    parser.add_argument("--matrix-lr", type=float, default=0.02)
    parser.add_argument("--lr", type=float, default=0.004)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    options.run.mkdir(parents=True, exist_ok=True)
    return options


def main() -> None:
    """Start or resume a run."""
    options = arguments()
    torch.set_num_threads(options.threads)
    trainer = Trainer(options)
    print(
        json.dumps({"parameters": trainer.model.size(), "device": str(trainer.device), "seed": options.seed}),
        flush=True,
    )
    trainer.run()


if __name__ == "__main__":
    main()
