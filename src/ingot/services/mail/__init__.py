"""Mail: takes what the outbox holds to a post, until it has left or is given up."""

from ingot.services.mail.sender import MailSender

__all__ = ["MailSender"]
