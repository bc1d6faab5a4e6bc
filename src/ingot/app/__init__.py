"""The composition root: makes every part of one process and joins them; the only place that chooses.

process    what listens and reloads        platform   database, keys, limits, money, accounts, what runs beside
models     what the embedded engine serves    working    what works on the queue and listens nowhere
"""

from ingot.app.models import embedded_models
from ingot.app.process import App, Greeting, serve
from ingot.app.working import work

__all__ = ["App", "Greeting", "embedded_models", "serve", "work"]
