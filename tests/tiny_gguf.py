"""GGUF files for tests, written from the format's description: any header, zeros for weights."""

import struct
from collections.abc import Mapping, Sequence

STRING, ARRAY, U32, F32 = 8, 9, 4, 6
ALIGNMENT = 32

METADATA: Mapping[str, object] = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "general.license": "apache-2.0",
    "general.file_type": 7,
    "llama.context_length": 8192,
    "llama.embedding_length": 64,
    "llama.block_count": 2,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "tokenizer.ggml.tokens": ["a", "b", "c"],
    "tokenizer.ggml.scores": [0.0, 1.0, 2.0],
    "tokenizer.chat_template": "{{ messages }}",
}


def text(value: str) -> bytes:
    """A string of the format."""
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def item(value: object) -> tuple[int, bytes]:
    """A value's type and bytes."""
    if isinstance(value, str):
        return STRING, text(value)
    if isinstance(value, int):
        return U32, struct.pack("<I", value)
    if isinstance(value, float):
        return F32, struct.pack("<f", value)
    assert isinstance(value, Sequence)
    items = [item(each) for each in value]
    return ARRAY, struct.pack("<IQ", items[0][0], len(items)) + b"".join(data for _, data in items)


def gguf(
    metadata: Mapping[str, object] = METADATA, *, rows: int = 32, tensors: int = 2, version: int = 3
) -> bytes:
    """A whole file with `tensors` Q8_0 tensors of 32 x `rows` zeros."""
    head = b"GGUF" + struct.pack("<IQQ", version, tensors, len(metadata))
    for key, value in metadata.items():
        kind, data = item(value)
        head += text(key) + struct.pack("<I", kind) + data
    for index in range(tensors):
        head += text(f"blk.{index}.weight") + struct.pack("<IQQIQ", 2, 32, rows, 8, index * rows * 34)
    padding = -len(head) % ALIGNMENT
    return head + bytes(padding) + bytes(tensors * rows * 34)
