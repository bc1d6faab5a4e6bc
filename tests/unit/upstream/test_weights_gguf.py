"""Headers of model files: what is read from good ones, and that bad ones harm nobody."""

import random
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.upstream.weights.gguf import (
    Fit,
    GgufError,
    Unfinished,
    fit_model,
    parse,
    read_header,
    read_whole,
)
from ingot.upstream.weights.library import bundled_demo
from tiny_gguf import METADATA, gguf


def test_header_says_what_the_model_is() -> None:
    """All that a list of models shows is in the file itself."""
    header = parse(gguf())
    assert (header.architecture, header.name, header.licence) == ("llama", "Tiny", "apache-2.0")
    assert header.context_length == 8192
    assert header.parameters == 2 * 32 * 32
    assert header.quantization == "Q8_0"
    assert header.chat_template
    assert not header.pooling
    assert header.least_size == len(gguf())


def test_memory_grows_with_the_context() -> None:
    """Keys and values of 2 layers with 2 heads of 16 numbers, 2 bytes each."""
    header = parse(gguf())
    assert header.cache_bytes == 2 * 2 * (16 + 16) * 2
    assert header.memory(1000, 2048) - header.memory(1000, 1024) == 1024 * header.cache_bytes


def test_memory_counts_each_layer_when_heads_differ() -> None:
    """Some models give a number of heads for each layer."""
    header = parse(gguf({**METADATA, "llama.attention.head_count_kv": [2, 1]}))
    assert header.cache_bytes == 3 * (16 + 16) * 2


def test_quantization_comes_from_the_tensors_when_the_file_does_not_name_it() -> None:
    """general.file_type is optional."""
    known = {key: value for key, value in METADATA.items() if key != "general.file_type"}
    assert parse(gguf(known)).quantization == "Q8_0"


def test_embedding_models_are_known_by_their_pooling() -> None:
    """A pooling other than none is what an embedding model has."""
    assert parse(gguf({**METADATA, "llama.pooling_type": 1})).pooling
    assert not parse(gguf({**METADATA, "llama.pooling_type": 0})).pooling


@pytest.mark.parametrize(
    ("ends", "silent"),
    [
        ({"tokenizer.ggml.eos_token_id": 3}, (1, 2)),
        ({"tokenizer.ggml.eos_token_id": 3, "tokenizer.ggml.eot_token_id": 2}, (1,)),
        ({}, ()),
    ],
)
def test_silent_tokens_are_those_without_text(ends: Mapping[str, int], silent: tuple[int, ...]) -> None:
    """Unknown and control tokens show nothing; those that end an answer are needed."""
    kinds = [1, 2, 3, 3, 4, 6] + [1] * 5_000
    assert parse(gguf({**METADATA, **ends, "tokenizer.ggml.token_type": kinds})).silent == silent


def test_header_is_found_when_the_vocabulary_is_larger_than_the_first_read(tmp_path: Path) -> None:
    """Only as much of a file is read as its header takes."""
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf({**METADATA, "tokenizer.ggml.tokens": ["token" * 8] * 40_000}))
    assert read_header(path).context_length == 8192


def test_every_prefix_of_a_header_is_unfinished() -> None:
    """The bytes of a download so far are never taken for a broken model."""
    data = gguf(tensors=1, rows=1)
    for length in range(len(data) - 34 - 32):
        with pytest.raises(Unfinished):
            parse(data[:length])


def test_cut_file_is_refused(tmp_path: Path) -> None:
    """A header alone does not make a model."""
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf()[:-1])
    with pytest.raises(GgufError, match="the file is cut"):
        read_whole(path)
    path.write_bytes(gguf()[:100])
    with pytest.raises(Unfinished):
        read_whole(path)


def header(version: int = 3, tensors: int = 0, keys: int = 0) -> bytes:
    """A header's first fields."""
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"<!DOCTYPE html>", "does not begin with the letters GGUF"),
        (header(version=1), "version 1"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(16), "big-endian"),
        (header(tensors=1 << 62), "tensors are not credible"),
        (header(keys=1 << 62), "metadata keys are not credible"),
        (header(keys=1) + struct.pack("<Q", 1 << 40), "string of"),
        (header(keys=1) + struct.pack("<Q", 1) + b"k" + struct.pack("<I", 77), "metadata type 77"),
        (header(keys=1) + struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 4, 1 << 60), "array items"),
        (header(keys=1) + struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 9, 1), "arrays of metadata type 9"),
        (header(tensors=1) + struct.pack("<Q", 1) + b"t" + struct.pack("<I", 9), "dimensions"),
        (header(), "does not say its architecture"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_in_words(data: bytes, says: str) -> None:
    """Numbers in a file are claims."""
    with pytest.raises(GgufError, match=says):
        parse(data)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 8))
def test_damaged_headers_end_in_a_header_or_an_error(seed: int, flips: int) -> None:
    """Whatever bytes are wrong, nothing else is raised and nothing large is allocated."""
    rng = random.Random(seed)  # noqa: S311 - damage, not secrets
    data = bytearray(gguf())
    for _ in range(flips):
        data[rng.randrange(len(data) // 2)] = rng.randrange(256)
    try:
        found = parse(bytes(data))
    except GgufError:
        return
    assert found.architecture


def fit(
    path: Path, metadata: Mapping[str, object] = METADATA, *, free: int | None = None, parallel: int = 8
) -> Fit:
    """How a model with this metadata is run."""
    path = path / "model.gguf"
    path.write_bytes(gguf(metadata))
    return fit_model(path, parallel=parallel, free=free)


def test_each_slot_has_the_models_context_when_memory_is_plenty(tmp_path: Path) -> None:
    """An operator who names no context gets what the model can do, and no more than a conversation wants."""
    found = fit(tmp_path)
    assert (found.context, found.slots) == (8192, 8)
    assert fit(tmp_path, {**METADATA, "llama.context_length": 1_000_000}).context == 12_288


def test_large_models_get_fewer_slots_when_memory_is_scarce(tmp_path: Path) -> None:
    """A slot without room for a prompt is worth nothing; at the end there is one, of what is left."""
    large = {**METADATA, "llama.context_length": 65_536}
    cache = parse(gguf(large)).cache_bytes
    size = len(gguf(large))
    found = fit(tmp_path, large, free=size + 2 * 3 * 12_288 * cache)
    assert (found.context, found.slots) == (12_288, 3)
    found = fit(tmp_path, large, free=size + 2 * 5000 * cache)
    assert (found.context, found.slots) == (4_864, 1)
    found = fit(tmp_path, large, free=0)
    assert (found.context, found.slots) == (2_048, 1)


def test_single_slot_may_be_long_when_the_weights_are_large(tmp_path: Path) -> None:
    """As many bytes for the cache as the weights have, up to 32k tokens."""
    path = tmp_path / "model.gguf"
    large = {**METADATA, "llama.context_length": 65_536}
    path.write_bytes(gguf(large))
    with path.open("r+b") as file:
        file.truncate(20_000 * parse(gguf(large)).cache_bytes)
    assert fit_model(path, parallel=1, free=None).context == 19_968


def test_context_is_small_when_the_file_is_not_readable(tmp_path: Path) -> None:
    """What is wrong with the file is the engine's to say."""
    assert fit_model(tmp_path / "nothing.gguf", parallel=2, free=None) == Fit(2048, 2, pooling=False)


def test_demo_model_has_a_long_context() -> None:
    """Coding agents begin with prompts of ten thousand tokens."""
    found = read_whole(bundled_demo())
    assert found.architecture == "llama"
    assert (found.context_length or 0) >= 32_768
    assert found.quantization == "Q8_0"
    assert found.chat_template
