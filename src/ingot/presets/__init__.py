"""Presets: what a server that stands in for a certain service accepts, refuses, defaults, and how its errors look.

    NAME.toml --extends--> tree --shape--> PresetFile --compile--> Preset

A preset is data with a closed set of keys. Rules that data cannot say are named checks and rewrites in code. Nothing
here knows HTTP, a store or a target.
"""

from ingot.presets.apply import dressed, encode_anthropic_error, encode_error
from ingot.presets.preset import Idempotency, KeyRules, Plan, Preset
from ingot.presets.shelf import load, load_all, names, parse

__all__ = [
    "Idempotency",
    "KeyRules",
    "Plan",
    "Preset",
    "dressed",
    "encode_anthropic_error",
    "encode_error",
    "load",
    "load_all",
    "names",
    "parse",
]
