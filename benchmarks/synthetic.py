"""A model of realistic size with random weights: `python -m benchmarks.synthetic OUT.gguf`.

Its answers mean nothing, but each token costs the engine what a real model's would, and no download is needed. It takes
the vocabulary and the chat template of the bundled demo model and is otherwise a llama of about 0.3 billion parameters
in Q8_0, 330 MB.
"""

import os
import struct
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

LAYERS, WIDTH, HIDDEN, HEADS = 24, 1024, 2816, 16
STRING, ARRAY = 8, 9
F32, Q8_0 = 0, 8
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
ALIGNMENT = 32
REPLACED = {
    "general.name": "synthetic",
    "llama.embedding_length": WIDTH,
    "llama.block_count": LAYERS,
    "llama.feed_forward_length": HIDDEN,
    "llama.attention.head_count": HEADS,
    "llama.attention.head_count_kv": HEADS,
    "llama.rope.dimension_count": WIDTH // HEADS,
}

Shape = tuple[int, ...]


class Reader:
    """Walks over a GGUF header and says where each value lies; the file is our own and is trusted."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self, form: str) -> int:
        """The next number."""
        (value,) = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return int(value)

    def text(self) -> str:
        """The next string."""
        size = self.number("Q")
        self.at += size
        return self.data[self.at - size : self.at].decode()

    def skip(self, kind: int) -> int:
        """Steps over a value; how many items it held."""
        if kind == STRING:
            self.text()
            return 1
        if kind != ARRAY:
            self.at += SIZES[kind]
            return 1
        inner, count = self.number("I"), self.number("Q")
        for _ in range(count):
            self.skip(inner)
        return count


def text(value: str) -> bytes:
    """A string of the format."""
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def metadata(data: bytes) -> tuple[int, bytes, int]:
    """The demo model's metadata with our shape in it: how many pairs, their bytes, and the vocabulary's size."""
    reader = Reader(data)
    reader.at = 16
    pairs = reader.number("Q")
    out = b""
    vocabulary = 0
    for _ in range(pairs):
        start = reader.at
        key = reader.text()
        kind = reader.number("I")
        count = reader.skip(kind)
        if key == "tokenizer.ggml.tokens":
            vocabulary = count
        new = REPLACED.get(key)
        if isinstance(new, str):
            out += text(key) + struct.pack("<I", STRING) + text(new)
        elif new is not None:
            out += text(key) + struct.pack("<II", 4, new)
        else:
            out += data[start : reader.at]
    return pairs, out, vocabulary


def tensors(vocabulary: int) -> Iterator[tuple[str, Shape]]:
    """Every tensor of the model, the fastest dimension first."""
    yield "token_embd.weight", (WIDTH, vocabulary)
    yield "output_norm.weight", (WIDTH,)
    for layer in range(LAYERS):
        here = f"blk.{layer}."
        yield here + "attn_norm.weight", (WIDTH,)
        yield here + "ffn_norm.weight", (WIDTH,)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"{here}{name}.weight", (WIDTH, WIDTH)
        yield here + "ffn_gate.weight", (WIDTH, HIDDEN)
        yield here + "ffn_up.weight", (WIDTH, HIDDEN)
        yield here + "ffn_down.weight", (HIDDEN, WIDTH)


def size_of(shape: Shape) -> int:
    """Bytes of a tensor: norms are F32, the rest Q8_0 with 34 bytes for 32 weights."""
    return 4 * shape[0] if len(shape) == 1 else shape[0] * shape[1] // 32 * 34


def weights(shape: Shape) -> bytes:
    """Ones for a norm, random numbers of a sane scale for the rest."""
    if len(shape) == 1:
        return struct.pack("<f", 1.0) * shape[0]
    scale = struct.pack("<e", 1.0 / (74 * shape[0] ** 0.5))
    blocks = shape[0] * shape[1] // 32
    noise = os.urandom(32 * min(blocks, 4096))
    # The same few thousand blocks over and over: what they hold does not matter, reading them costs the same.
    some = b"".join([scale + noise[at : at + 32] for at in range(0, len(noise), 32)])
    return (some * (blocks * 34 // len(some) + 1))[: blocks * 34]


def write(out: Path) -> None:
    """Writes the model."""
    demo = (resources.files("ingot") / "models" / "demo-tiny.gguf").read_bytes()
    pairs, described, vocabulary = metadata(demo)
    listed = list(tensors(vocabulary))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(listed), pairs) + described
    offset = 0
    for name, shape in listed:
        kind = F32 if len(shape) == 1 else Q8_0
        dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        head += text(name) + dimensions + struct.pack("<IQ", kind, offset)
        offset += size_of(shape) + -size_of(shape) % ALIGNMENT
    with out.open("wb") as file:
        file.write(head + bytes(-len(head) % ALIGNMENT))
        for _, shape in listed:
            data = weights(shape)
            file.write(data + bytes(-len(data) % ALIGNMENT))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
