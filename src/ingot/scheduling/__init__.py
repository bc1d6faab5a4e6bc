"""Scheduling: which queued job is next, when work will be done, and what cannot be promised."""
