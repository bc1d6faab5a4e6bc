"""The embedded engine: llama.cpp in a child process, spoken to over the llama-server HTTP contract.

`supervisor` keeps one process alive for one model, `child` is one run of it as we see it, `worker` is the program that
runs in it, `machine` says what the machine can do. Nothing above `upstream` knows that the engine is local.
"""

from ingot.upstream.engine.child import EngineAddress
from ingot.upstream.engine.machine import Available, Missing, default_threads, engine_available
from ingot.upstream.engine.supervisor import Engine, EngineDown, EngineSpec, Tempo

__all__ = [
    "Available",
    "Engine",
    "EngineAddress",
    "EngineDown",
    "EngineSpec",
    "Missing",
    "Tempo",
    "default_threads",
    "engine_available",
]
