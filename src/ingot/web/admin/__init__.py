"""The admin API: accounts, organizations and what belongs to them, under /admin/v1, for browsers and for programs.

    request --host--> route --origin--> caller --gate--> body --idempotency key--> handler --> answer
                       404     403       401     403,404  400           '-> the answer that was kept

To add routes: write a module with a function that takes its services and returns `AdminRoute` rows (see `members` for
the smallest), name new actions in `services.accounts.permissions`, hand the rows to `build(..., extra_routes=...)`, and
give each its line in tests/admin_policy.toml, without which the test of the table fails.

Knows no SQL and decides no right; /v1 has nothing to do with it and reads no cookie.
"""

from collections.abc import Iterable

from ingot.logs import Log
from ingot.services.accounts import Accounts
from ingot.services.changes import Changes
from ingot.web.admin import audit, auth, invitations, me, members, organizations
from ingot.web.admin.application import AdminApi
from ingot.web.admin.routes import AdminRoute
from ingot.web.intake import Hosts
from ingot.web.proxies import TRUST_NOBODY, Proxies

__all__ = ["AdminApi", "AdminRoute", "build", "own_routes"]


def own_routes(accounts: Accounts) -> tuple[AdminRoute, ...]:
    """The rows about accounts and organizations."""
    return (
        *auth.routes(accounts),
        *me.routes(accounts),
        *organizations.routes(accounts),
        *members.routes(accounts),
        *invitations.routes(accounts),
        *audit.routes(accounts),
    )


def build(
    accounts: Accounts,
    extra_routes: Iterable[AdminRoute] = (),
    *,
    changes: Changes,
    hosts: Hosts,
    proxies: Proxies = TRUST_NOBODY,
    log: Log,
) -> AdminApi:
    """The ASGI application for every path below /admin; raises ValueError for a table that contradicts itself."""
    routes = (*own_routes(accounts), *extra_routes)
    return AdminApi(accounts, routes, changes=changes, hosts=hosts, proxies=proxies, log=log)
