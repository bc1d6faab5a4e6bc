"""Routes for what an organization used and spent: the figures of /v1/usage, for who is a member."""

from typing import Annotated

from msgspec import Meta, Struct

from ingot.services.spans import DEFAULT_RANGE
from ingot.services.usage import Usage, UsageBreakdown, UsageSummary
from ingot.web.admin.routes import PREFIX, AdminRoute, Answer, Call


class UsageSpan(Struct, frozen=True):
    """Which hours: 24h, 7d, 30d or period."""

    range: Annotated[str, Meta(max_length=20)] = DEFAULT_RANGE


class UsageDays(UsageSpan, frozen=True):
    """The same, or day with a `date` as 2026-11-27."""

    date: Annotated[str, Meta(max_length=20)] | None = None


def routes(service: Usage) -> tuple[AdminRoute, ...]:
    """The rows."""

    async def summary(call: Call) -> Answer:
        wanted: UsageSpan = call.query
        return Answer(await service.summarize(call.org_id, range_name=wanted.range))

    async def breakdown(call: Call) -> Answer:
        wanted: UsageDays = call.query
        return Answer(await service.break_down(call.org_id, range_name=wanted.range, day=wanted.date))

    every = f"{PREFIX}/organizations/{{org}}/usage"
    return (
        AdminRoute(
            "GET", every, summary, "usage.read",
            "What was used and spent, in cents", answer=UsageSummary, query=UsageSpan,
        ),
        AdminRoute(
            "GET", f"{every}/breakdown", breakdown, "usage.read",
            "The same hour by hour or day by day, by model", answer=UsageBreakdown, query=UsageDays,
        ),
    )  # fmt: skip
