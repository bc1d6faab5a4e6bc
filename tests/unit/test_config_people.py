"""What is refused of [accounts] and [mail] before a server starts."""

import pytest

from ingot.config import ConfigError, load


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[accounts]\nurl = "ai.example.org"', "accounts.url"),
        ('[accounts]\nurl = "https://ai.example.org/?x=1"', "accounts.url"),
        ('[accounts]\nurl = "https://user@ai.example.org"', "accounts.url"),
        ('[mail]\nsender = "resend"', "mail.resend_api_key"),
        (
            '[mail]\nsender = "resend"\nresend_api_key = "k"\nresend_url = "http://api.example.org"',
            "mail.resend_url",
        ),
        ('[mail]\nsmtp_user = "ingot"', "mail.smtp_password"),
        (
            '[mail]\nsmtp_user = "ingot"\nsmtp_password = "p"\nsmtp_host = "mail.example.org"\nsmtp_tls = "none"',
            "mail.smtp_tls",
        ),
    ],
)
def test_configuration_is_refused_when_mail_or_people_could_not_work(text: str, key: str) -> None:
    """Each problem names its key, and no value of a credential."""
    with pytest.raises(ConfigError) as caught:
        load(text, {})
    assert [each.where for each in caught.value.problems] == [key]


def test_configuration_is_taken_when_mail_stays_on_this_network() -> None:
    """A relay on the own network may be spoken to in the open."""
    text = '[mail]\nsender = "smtp"\nsmtp_user = "u"\nsmtp_password = "p"\nsmtp_host = "mail.lan"\nsmtp_tls = "none"'
    assert load(text, {}).mail.smtp_tls == "none"
