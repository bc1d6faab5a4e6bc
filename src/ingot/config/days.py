"""Days as they are written, `2026-11-01`, and as clients count them: Unix seconds of their first moment in UTC."""

import datetime as dt


def first_second(day: str) -> int:
    """When the day begins; ValueError where it is none."""
    if len(day) != len("2026-11-01"):
        raise ValueError(day)  # other forms of ISO 8601 are nobody's habit here
    return int(dt.datetime.combine(dt.date.fromisoformat(day), dt.time(), dt.UTC).timestamp())
