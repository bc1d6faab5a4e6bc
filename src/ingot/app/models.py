"""Which models the embedded engine serves here, and how: the demo model and what was pulled.

Knows the library of weights and the machine; runs nothing.
"""

from ingot.app.paths import data_directory
from ingot.catalog import EmbeddedModel
from ingot.config import Config
from ingot.upstream.engine import EngineSpec, Missing, engine_available
from ingot.upstream.engine.machine import free_memory
from ingot.upstream.weights.gguf import fit_model
from ingot.upstream.weights.library import Library, Model

DEMO_ANSWER = 1024
"""Tokens; a model this small may not find the end of an answer, least of all inside a grammar."""

WAITING_ROOM = 4
"""Requests that an engine holds for each slot: one runs, the others wait; more are told to come back."""


def embedded_models(config: Config) -> tuple[list[EngineSpec], list[EmbeddedModel]]:
    """What the engine can serve here: the demo model and what was pulled; nothing where the engine is missing."""
    settings = config.engine
    if not settings.enabled or (not settings.command and isinstance(engine_available(), Missing)):
        return [], []
    models = [model for model in Library(data_directory(config)).list() if settings.demo or not model.demo]
    return [_spec(model, config) for model in models], [_embedded(model, config) for model in models]


def _spec(model: Model, config: Config) -> EngineSpec:
    settings = config.engine
    return EngineSpec(
        name=model.name,
        path=model.path,
        threads=settings.threads,
        parallel=settings.parallel,
        context=settings.context,
        command=settings.command,
        embeddings=model.embeddings,
        answer_limit=DEMO_ANSWER if model.demo else None,
    )


def _embedded(model: Model, config: Config) -> EmbeddedModel:
    parallel = config.engine.parallel
    fit = fit_model(model.path, parallel=parallel, free=free_memory())
    return EmbeddedModel(
        name=model.name,
        context=config.engine.context or fit.context,
        owned_by="bundled-demo" if model.demo else "local",
        created=model.created,
        embeddings=model.embeddings,
        capacity=parallel * WAITING_ROOM,
        silent=fit.silent,
    )
