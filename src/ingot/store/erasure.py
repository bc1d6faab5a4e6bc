"""What a deleted organization leaves in the database, and how it goes: its answers with what retries get, then its conversations,
then its webhooks.

    deleted_organizations --> erase_organization, a batch at a time until 0

At once by whoever ended it, and by the retention's turns for what a stopped process left behind or a running call brought
later. Its files lie on disk and go with their own turns (`services.clearing`).
"""

from sqlalchemy import Connection

from ingot.store import conversations, endpoints, responses


def erase_organization(conn: Connection, org_id: str, *, most: int = 500) -> int:
    """Lets go of what an organization kept, expired or not, at most about `most` rows; how many there were."""
    return (
        responses.erase_responses(conn, org_id, most=most)
        or conversations.erase_conversations(conn, org_id, most=most)
        or endpoints.erase_webhooks(conn, org_id, most=most)
    )


def deleted_organizations(conn: Connection) -> list[str]:
    """The deleted organizations of which something is still kept."""
    found = responses.organizations_with_content(conn)
    found += conversations.organizations_with_conversations(conn)
    return list(dict.fromkeys([*found, *endpoints.organizations_with_webhooks(conn)]))
