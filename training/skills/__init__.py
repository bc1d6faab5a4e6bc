"""Decide what the model can do: one module per family of skills."""
