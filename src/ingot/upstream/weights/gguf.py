"""Reads the head of a GGUF file: what the model is and how much memory it will want.

A file from the network is a claim, so that nothing in it is trusted: each count has a cap, each length is checked
against what is there, nothing is allocated by a number that the file names. Tensors are never read. Format:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian.
"""

import struct
from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MOST_KEYS = 20_000
MOST_TENSORS = 200_000
MOST_ITEMS = 16_000_000
MOST_DIMENSIONS = 4
LONGEST_NAME = 65_535
LONGEST_KEPT = 4_096
"""Longer strings (chat templates) and arrays (vocabularies) are stepped over; that they are there is noted."""
LARGEST_HEADER = 256 << 20
FIRST_READ = 1 << 20

STRING, ARRAY = 8, 9
TYPES_OF_TOKENS = "tokenizer.ggml.token_type"
UNSHOWN_TYPES = frozenset({2, 3})
"""Types of tokens, unknown and control, that llama.cpp writes as nothing at all."""
ENDS = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id")
SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}

# Two tables of llama.cpp's that share their small numbers for some names only. A tensor type has a name, the values in
# one of its blocks and the bytes that a block takes.
TENSOR_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1),
    25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip
FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE", 39: "NVFP4",
    40: "Q1_0",
}  # fmt: skip

DEFAULT_ALIGNMENT = 32
WANTED_CONTEXT = 12_288
"""For each slot: the first request of a coding agent has 9,546 tokens (measured), and wants an answer."""
MOST_CONTEXT = 32_768
SMALLEST_CONTEXT = 2_048
CONTEXT_STEP = 256
LITTLE_CACHE = 768 << 20
WORK_BYTES = 96 << 20
"""Engine, compute buffers and HTTP threads of a small model (measured: 94 MB resident with a 7 M model)."""

Scalar = str | int | float | bool
Value = Scalar | tuple[int, ...]


class GgufError(ValueError):
    """The file is not a GGUF that can be served; the message says what is wrong with it."""


class Unfinished(GgufError):
    """The bytes end inside the header: more of the file is needed, or it was cut."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a model says about itself."""

    architecture: str
    name: str | None
    licence: str | None
    context_length: int | None
    parameters: int
    quantization: str
    chat_template: bool
    pooling: bool
    """Whether the model was made for embeddings."""
    layers: int
    cache_bytes: int
    """KV cache for one token of context, in bytes, 16 bits a value."""
    least_size: int
    """Bytes that a file with these tensors has at least; a shorter one was cut."""
    silent: tuple[int, ...] = ()
    """The tokens that have a name but no text, but for those that end an answer."""

    def memory(self, size: int, context: int) -> int:
        """An estimate of the bytes that `size` bytes of weights need to serve `context` tokens."""
        return size + self.cache_bytes * context + WORK_BYTES


@dataclass(frozen=True, slots=True)
class Fit:
    """The slots that this machine can hold, the context of each, whether the model was made for embeddings, and its
    tokens without text.
    """

    context: int
    slots: int
    pooling: bool
    silent: tuple[int, ...] = ()


class Cursor:
    """A place in bytes that may end too early."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def step(self, length: int) -> int:
        """Moves on by `length` and says where it was."""
        begin = self.at
        if length > len(self.data) - begin:
            raise Unfinished("the file ends inside its header")
        self.at = begin + length
        return begin

    def number(self, form: str) -> int:
        """The next number, of a `struct` form."""
        begin = self.step(struct.calcsize(form))
        value: int = struct.unpack_from(form, self.data, begin)[0]
        return value

    def text(self, longest: int) -> str | None:
        """The next string; None where it is longer than `longest` and was stepped over."""
        length = self.number("<Q")
        if length > LARGEST_HEADER:
            raise GgufError(f"a string of {length} bytes is not credible")
        begin = self.step(length)
        if length > longest:
            return None
        return self.data[begin : begin + length].decode("utf-8", "replace")


def parse(data: bytes) -> Header:
    """Reads a header from the first bytes of a file; Unfinished where they are too few."""
    cursor = Cursor(data)
    if data[:4] != MAGIC[: len(data[:4])]:
        raise GgufError("this is not a GGUF file: it does not begin with the letters GGUF")
    cursor.step(4)
    version = cursor.number("<I")
    if version not in VERSIONS:
        hint = " (it may be big-endian)" if version > 0xFFFF else ""
        raise GgufError(f"GGUF version {version} is not known{hint}; versions 2 and 3 are")
    tensors = capped(cursor.number("<Q"), MOST_TENSORS, "tensors")
    keys = capped(cursor.number("<Q"), MOST_KEYS, "metadata keys")
    metadata: dict[str, Value | None] = {}
    for _ in range(keys):
        key = cursor.text(LONGEST_NAME)
        value = read_value(cursor, longest=MOST_ITEMS if key == TYPES_OF_TOKENS else LONGEST_KEPT)
        if key is not None:
            metadata[key] = value
    inventory = read_tensors(cursor, tensors)
    alignment = max(1, whole(metadata, "general.alignment") or DEFAULT_ALIGNMENT)
    begin = -(-cursor.at // alignment) * alignment
    return describe(
        metadata, inventory, least_size=begin + inventory.data_size if inventory.data_size else cursor.at
    )


def read_header(path: Path) -> Header:
    """Reads a file's header, and only as much of the file as that takes; OSError or GgufError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        data = b""
        want = FIRST_READ
        while True:
            data += file.read(want - len(data))
            try:
                return parse(data)
            except Unfinished:
                if len(data) >= min(size, LARGEST_HEADER) or len(data) < want:
                    raise
            want *= 4


def read_whole(path: Path) -> Header:
    """Reads the header of a file that should be complete; GgufError where its tensors are not all there."""
    header = read_header(path)
    size = path.stat().st_size
    if size < header.least_size:
        raise GgufError(f"the file is cut: it has {size} bytes, and its tensors end at {header.least_size}")
    return header


def fit_model(path: Path, *, parallel: int, free: int | None) -> Fit:
    """How to run a model whose operator named no context. What is wrong with the file is the engine's to say.

    Each slot has a context of its own, as one that all share ends every request when their sum exceeds it. A slot gets
    at least what a coding agent begins with; a machine that cannot hold so much for all slots gets fewer of them.
    """
    try:
        header = read_header(path)
        size = path.stat().st_size
    except (OSError, GgufError):
        return Fit(context=SMALLEST_CONTEXT, slots=parallel, pooling=False)
    own = header.context_length or MOST_CONTEXT
    wanted = min(own, WANTED_CONTEXT)
    tokens = cache_tokens(header, size, wanted=wanted * parallel, free=free)
    slots = max(1, min(parallel, tokens // wanted))
    context = max(SMALLEST_CONTEXT, tokens // slots // CONTEXT_STEP * CONTEXT_STEP)
    return Fit(
        context=min(own, MOST_CONTEXT, context), slots=slots, pooling=header.pooling, silent=header.silent
    )


def cache_tokens(header: Header, size: int, *, wanted: int, free: int | None) -> int:
    """Tokens of context that may be held at all: as many bytes as the weights have, or what is wanted if that is little;
    never more than half of the memory that the weights leave.
    """
    each = max(1, header.cache_bytes)
    tokens = max(size // each, min(wanted, LITTLE_CACHE // each))
    return tokens if free is None else min(tokens, max(0, free - size) // 2 // each)


def capped(count: int, most: int, what: str) -> int:
    """A count from the file, refused where it is not credible."""
    if count > most:
        raise GgufError(f"{count} {what} are not credible (at most {most})")
    return count


def read_value(cursor: Cursor, *, longest: int = LONGEST_KEPT) -> Value | None:
    """The next metadata value; None for what is too long to be kept, or an array of more than `longest` items."""
    kind = cursor.number("<I")
    if kind == STRING:
        return cursor.text(LONGEST_KEPT)
    if kind == ARRAY:
        return read_array(cursor, longest)
    if kind not in SCALARS:
        raise GgufError(f"metadata type {kind} is not known")
    return cursor.number(SCALARS[kind])


def read_array(cursor: Cursor, longest: int) -> tuple[int, ...] | None:
    """The next array, kept where it is short and of numbers."""
    kind = cursor.number("<I")
    count = capped(cursor.number("<Q"), MOST_ITEMS, "array items")
    if kind == STRING:
        for _ in range(count):
            cursor.text(0)
        return None
    if kind not in SCALARS:
        raise GgufError(f"arrays of metadata type {kind} are not known")
    form = SCALARS[kind]
    begin = cursor.step(count * struct.calcsize(form))
    if count > longest:
        return None
    return struct.unpack_from(f"<{count}{form[1]}", cursor.data, begin)


@dataclass(frozen=True, slots=True)
class Inventory:
    """A file's tensors: their parameters by type, and the end of the last one behind the header."""

    kinds: Counter[str]
    data_size: int


def read_tensors(cursor: Cursor, count: int) -> Inventory:
    """Adds up the descriptions of all tensors."""
    kinds: Counter[str] = Counter()
    end = 0
    for _ in range(count):
        cursor.text(LONGEST_NAME)
        dimensions = capped(cursor.number("<I"), MOST_DIMENSIONS, "dimensions of a tensor")
        weights = prod(cursor.number("<Q") for _ in range(dimensions))
        kind = cursor.number("<I")
        offset = cursor.number("<Q")
        # The last tensor of a type that is not known here counts as empty.
        name, block, width = TENSOR_TYPES.get(kind, (f"type {kind}", 1, 0))
        kinds[name] += weights
        end = max(end, offset + weights // block * width)
    return Inventory(kinds, end)


def describe(metadata: dict[str, Value | None], inventory: Inventory, *, least_size: int) -> Header:
    """The record that a file's metadata amounts to."""
    architecture = text(metadata, "general.architecture")
    if not architecture:
        raise GgufError("the file does not say its architecture (general.architecture)")
    layers = whole(metadata, f"{architecture}.block_count") or 0
    file_type = metadata.get("general.file_type")
    known = FILE_TYPES.get(file_type) if isinstance(file_type, int) else None
    return Header(
        architecture=architecture,
        name=text(metadata, "general.name"),
        licence=text(metadata, "general.license"),
        context_length=whole(metadata, f"{architecture}.context_length"),
        parameters=inventory.kinds.total(),
        quantization=known or next((kind for kind, _ in inventory.kinds.most_common(1)), "unknown"),
        chat_template="tokenizer.chat_template" in metadata,
        pooling=bool(whole(metadata, f"{architecture}.pooling_type")),
        layers=layers,
        cache_bytes=cache_bytes(metadata, architecture, layers),
        least_size=least_size,
        silent=silent_tokens(metadata),
    )


def silent_tokens(metadata: dict[str, Value | None]) -> tuple[int, ...]:
    """The tokens that are shown as nothing; none where the file does not say which of them ends an answer."""
    kinds = metadata.get(TYPES_OF_TOKENS)
    ends = {whole(metadata, key) for key in ENDS} - {None}
    if not ends or not isinstance(kinds, tuple):
        return ()
    return tuple(token for token, kind in enumerate(kinds) if kind in UNSHOWN_TYPES and token not in ends)


def cache_bytes(metadata: dict[str, Value | None], architecture: str, layers: int) -> int:
    """Bytes of KV cache for each token; too high for models with sliding windows or recurrent layers."""
    width = whole(metadata, f"{architecture}.embedding_length") or 0
    heads = whole(metadata, f"{architecture}.attention.head_count") or 1
    head = width // heads
    key = whole(metadata, f"{architecture}.attention.key_length") or head
    value = whole(metadata, f"{architecture}.attention.value_length") or head
    name = f"{architecture}.attention.head_count_kv"
    each = metadata.get(name)
    kv_heads = sum(each) if isinstance(each, tuple) else (whole(metadata, name) or heads) * layers
    return max(0, kv_heads * (key + value) * 2)


def text(metadata: dict[str, Value | None], key: str) -> str | None:
    """A metadata value that is a string."""
    value = metadata.get(key)
    return value if isinstance(value, str) and value else None


def whole(metadata: dict[str, Value | None], key: str) -> int | None:
    """A metadata value that is a number; the largest of an array."""
    value = metadata.get(key)
    if isinstance(value, tuple):
        return max((int(item) for item in value), default=None)
    return int(value) if isinstance(value, (int, float)) else None
