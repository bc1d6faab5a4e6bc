"""Ends of answers: every one has a word in every dialect, and every word comes back as the end it stands for."""

from typing import get_args

import pytest

from ingot.canonical import FinishReason
from ingot.dialects import finishes

EVERY = set(get_args(FinishReason))


def test_every_end_has_a_word() -> None:
    """No end is without a word, in any dialect."""
    assert set(finishes.CHAT) == set(finishes.MESSAGES) == set(finishes.RESPONSES) == EVERY


@pytest.mark.parametrize("word", finishes.FROM_CHAT)
def test_chat_word_when_read_and_written(word: str) -> None:
    """What chat said is said again."""
    assert finishes.CHAT[finishes.FROM_CHAT[word]] == word


@pytest.mark.parametrize("word", finishes.FROM_MESSAGES)
def test_messages_word_when_read_and_written(word: str) -> None:
    """What messages said is said again."""
    assert finishes.MESSAGES[finishes.FROM_MESSAGES[word]] == word


@pytest.mark.parametrize("words", finishes.FROM_RESPONSES)
def test_responses_words_when_read_and_written(words: tuple[str, str | None]) -> None:
    """What responses said is said again."""
    assert finishes.RESPONSES[finishes.FROM_RESPONSES[words]] == words
