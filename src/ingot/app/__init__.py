"""The composition root: makes every part of one process and joins them; the only place that chooses.

process    what listens and reloads        platform   database, keys, limits, money, accounts, what runs beside
models     what the embedded engine serves
"""

from ingot.app.models import embedded_models
from ingot.app.process import Greeting, serve

__all__ = ["Greeting", "embedded_models", "serve"]
