"""Who may do what: one table of actions and roles, and no other place that decides it.

    anyone      no account needed
    person      a signed-in user, for what is theirs; a key is nobody's own
    verified    the same, once the mail address is verified
    caller      a verified user or an admin key; what it shows depends on who asks
    operator    who runs this server, or an admin key of its own organization
    else        the roles in the organization that the path names

An operator may do everything in every organization. An admin key is, in its own organization, what an admin is, or what
its person is where that is less.
Who adds routes adds their actions here.
"""

from typing import Final

from ingot.store.members import Role

ANYONE: Final = "anyone"
PERSON: Final = "person"
VERIFIED: Final = "verified"
CALLER: Final = "caller"
OPERATOR: Final = "operator"

FREE_ACTIONS: Final = frozenset({ANYONE, PERSON, VERIFIED, CALLER, OPERATOR})
"""Actions that need no organization."""

ROLES: Final[tuple[Role, ...]] = ("viewer", "member", "admin", "owner")
"""Each may do what those before it may, as the table stands; the table decides, not the order."""

_OWNER: Final = frozenset({"owner"})
_ADMINS: Final = frozenset({"owner", "admin"})
_MEMBERS: Final = frozenset({"owner", "admin", "member"})
_ALL: Final = frozenset({"owner", "admin", "member", "viewer"})

PERMISSIONS: Final[dict[str, frozenset[str]]] = {
    "organization.read": _ALL,
    "organization.update": _ADMINS,
    "organization.delete": _OWNER,
    "members.read": _ALL,
    "members.update": _ADMINS,
    "members.remove": _ADMINS,
    "invitations.read": _ADMINS,
    "invitations.create": _ADMINS,
    "invitations.revoke": _ADMINS,
    "audit.read": _ADMINS,
    "keys.read": _MEMBERS,
    "keys.create": _MEMBERS,
    "keys.own": _MEMBERS,  # to roll and to end what is one's own
    "keys.update": _ADMINS,
    "keys.revoke": _ADMINS,
    "usage.read": _ALL,
    "billing.read": _ADMINS,
    "billing.manage": _OWNER,
    "budgets.manage": _ADMINS,
    "promos.redeem": _ADMINS,
    "webhooks.read": _MEMBERS,
    "webhooks.manage": _ADMINS,
}

KEY_ROLE: Final[Role] = "admin"
"""What an admin key is in its organization, at most."""


def may(role: str, action: str) -> bool:
    """Whether a role allows an action; raises KeyError for an action that nobody described."""
    return role in PERMISSIONS[action]


def lesser(one: Role, other: Role) -> Role:
    """The one of two roles that may do less."""
    return min(one, other, key=ROLES.index)


def needed(action: str) -> str:
    """The roles that an action needs, in words."""
    roles = [role for role in ROLES if role in PERMISSIONS[action]]
    return roles[0] if len(roles) == 1 else ", ".join(roles[:-1]) + " or " + roles[-1]


def may_assign(role: str, *, new: Role, old: Role | None) -> bool:
    """Whether who has `role` may make somebody `new`, who was `old`; only owners make and unmake owners."""
    return role == "owner" or "owner" not in {new, old}
