"""Decide how text becomes tokens: byte-level BPE made for copying.

Merges never start with a space at first, so a word has the same pieces after a space as after a quote; only then
are joined "space + word" tokens added for the most frequent words. Each digit is a token of its own. All 256 bytes
are in the vocabulary, so every text can be encoded.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import Counter
from pathlib import Path

from chat import MARKERS, SPECIALS, render
from generate import stream
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

# The engine's "qwen2" splitting rule: words with one leading sign, single digits, runs of signs, white space.
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPACE = "Ġ"


def _text(seed: int, count: int) -> list[str]:
    plain: list[str] = []
    for conversation in itertools.islice(stream(seed), count):
        text = "".join(piece for piece, _ in render(conversation))
        for marker in (*SPECIALS, *MARKERS):
            text = text.replace(marker, "\n")
        plain.append(text)
    return plain


def _splitter(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _base_merges(texts: list[str], size: int) -> list[tuple[str, str]]:
    """Learn merges inside words and inside runs of signs, none of which holds a space before a letter."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = _splitter(r"\p{L}+|\p{N}| |[^\s\p{L}\p{N}]+|[\r\n]+|\s")
    trainer = trainers.BpeTrainer(
        vocab_size=256 + size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]


def _assemble(merges: list[tuple[str, str]]) -> Tokenizer:
    tokens = sorted(pre_tokenizers.ByteLevel.alphabet()) + [one + two for one, two in merges]
    vocab = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    bpe = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    bpe.pre_tokenizer = _splitter(SPLIT)
    bpe.decoder = decoders.ByteLevel()
    bpe.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIALS])
    bpe.add_tokens([AddedToken(text, special=False, normalized=False) for text in MARKERS])
    return bpe


def train(*, seed: int = 99, count: int = 20_000, inner: int = 1050, joined: int = 480) -> Tokenizer:
    """Train on our own corpus; the vocabulary is padded to a multiple of 32 by the number of joined tokens."""
    texts = _text(seed, count)
    merges = _base_merges(texts, inner)
    base = _assemble(merges)
    counts: Counter[str] = Counter()
    split = _splitter(SPLIT)
    for text in texts[:8000]:
        counts.update(
            piece for piece, _ in split.pre_tokenize_str(text) if piece.startswith(SPACE) and len(piece) > 1
        )
    vocab = base.get_vocab()
    whole = [(SPACE, piece[1:]) for piece, _ in counts.most_common() if piece[1:] in vocab][:joined]
    total = 256 + len(merges) + len(whole) + len(SPECIALS) + len(MARKERS)
    return _assemble(merges + (whole[: -(total % 32)] if total % 32 else whole))


def load(folder: Path) -> Tokenizer:
    """Read the tokenizer that `train` wrote."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def main() -> None:
    """Read the command line, train and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    made = train()
    made.save(str(options.out / "tokenizer.json"))
    print(made.get_vocab_size())


if __name__ == "__main__":
    main()
