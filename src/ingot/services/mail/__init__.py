"""Mail: takes what the outbox holds to a post, until it has left or is given up."""

from ingot.clock import Clock
from ingot.config import MailConfig
from ingot.logs import Log
from ingot.services.mail.sender import MailSender, Write
from ingot.store.database import Database
from ingot.upstream.client import Client
from ingot.upstream.mail import open_post

__all__ = ["MailSender", "open_mail"]


def open_mail(
    db: Database, config: MailConfig, *, write: Write, client: Client, clock: Clock, log: Log
) -> MailSender:
    """The sender of one process, by the way that the configuration names; `write` makes a mail's text."""
    post = open_post(config, client=client, clock=clock, log=log)
    return MailSender(db, post=post, write=write, clock=clock, log=log)
