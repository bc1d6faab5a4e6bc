"""What clients ask: each feature in the words of each dialect that has it. What a dialect cannot ask is not here."""

from pairs.settings import PLAIN, SETTINGS
from pairs.talk import TALK
from pairs.tools import TOOLS
from pairs.words import Asked

ASKED: dict[str, Asked] = {**TALK, **TOOLS, **SETTINGS, **PLAIN}
# Those that only answers have: what is asked is no more than a greeting.
ANSWERS = frozenset(PLAIN)
