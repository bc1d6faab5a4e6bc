"""Decide how a checkpoint becomes one GGUF file that llama.cpp can serve: `python export.py CHECKPOINT OUT.gguf`."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from chat import END, MARKERS, PAD, SPECIALS, TEMPLATE
from tokenizer import load
from tokenizers import Tokenizer

CONTEXT = 32_768
_Q8 = gguf.GGMLQuantizationType.Q8_0


def interleave(weight: np.ndarray, heads: int) -> np.ndarray:
    """Reorder the rows of a query or key matrix: we turn the halves of a head, the engine turns neighbours."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def tensors(state: dict[str, torch.Tensor], shape: dict[str, Any]) -> dict[str, np.ndarray]:
    """Rename and split the weights; the output layer is tied to the embedding, so it is left out."""
    plain = {name: weight.float().numpy() for name, weight in state.items()}
    named = {"token_embd.weight": plain["embed.weight"], "output_norm.weight": plain["norm.weight"]}
    for layer in range(shape["layers"]):
        here, there = f"blocks.{layer}.", f"blk.{layer}."
        q, k, v = np.split(plain[here + "qkv.weight"], 3)
        gate, up = np.split(plain[here + "gate_up.weight"], 2)
        named |= {
            there + "attn_norm.weight": plain[here + "attention_norm.weight"],
            there + "attn_q.weight": interleave(q, shape["heads"]),
            there + "attn_k.weight": interleave(k, shape["heads"]),
            there + "attn_v.weight": v,
            there + "attn_output.weight": plain[here + "out.weight"],
            there + "ffn_norm.weight": plain[here + "feed_norm.weight"],
            there + "ffn_gate.weight": gate,
            there + "ffn_up.weight": up,
            there + "ffn_down.weight": plain[here + "down.weight"],
        }
    return named


def add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    """Write the vocabulary, the merges and the chat template."""
    tokens = [tokenizer.id_to_token(index) for index in range(tokenizer.get_vocab_size())]
    kinds = [
        gguf.TokenType.CONTROL
        if token in SPECIALS
        else gguf.TokenType.USER_DEFINED
        if token in MARKERS
        else gguf.TokenType.NORMAL
        for token in tokens
    ]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_eos_token_id(tokens.index(END))
    writer.add_bos_token_id(tokens.index(PAD))
    writer.add_pad_token_id(tokens.index(PAD))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def export(checkpoint: Path, tokenizer: Tokenizer, out: Path) -> None:
    """Write the file beside its place and then move it there, so that nobody reads half of it."""
    kept = torch.load(checkpoint, map_location="cpu", weights_only=False)
    shape = kept["shape"]
    part = out.with_suffix(".part")
    writer = gguf.GGUFWriter(part, "llama")
    writer.add_name("demo-tiny")
    writer.add_description(
        "The demo model bundled with Ingot; trained from scratch on generated conversations."
    )
    writer.add_license("apache-2.0")
    writer.add_size_label(f"{sum(w.numel() for w in kept['model'].values()) / 1e6:.1f}M")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(shape["width"])
    writer.add_block_count(shape["layers"])
    writer.add_feed_forward_length(shape["hidden"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["heads"])
    writer.add_rope_dimension_count(shape["width"] // shape["heads"])
    writer.add_rope_freq_base(shape["rope_base"])
    writer.add_layer_norm_rms_eps(shape["epsilon"])
    writer.add_vocab_size(shape["vocab"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    add_tokenizer(writer, tokenizer)
    for name, weight in tensors(kept["model"], shape).items():
        if weight.ndim == 1:
            writer.add_tensor(name, weight.astype(np.float32))
        else:
            writer.add_tensor(name, gguf.quants.quantize(weight, _Q8), raw_dtype=_Q8)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.replace(out)
    print(
        json.dumps(
            {
                "tokens_seen": kept["seen"],
                "steps": kept["step"],
                "bytes": out.stat().st_size,
                "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
            }
        )
    )


def main() -> None:
    """Read the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    options = parser.parse_args()
    export(options.checkpoint, load(options.tokenizer), options.out)


if __name__ == "__main__":
    main()
