"""Decide the small tasks: counting, echoing, adding, looking up in two tables, and a story."""

from __future__ import annotations

from chat import Message, reply, user
from words import ANIMALS, CAPITALS, COLOURS, FOREIGN, NOUNS, VERBS, Slots, listed

_ECHO_ASKED = listed(
    'Repeat: {x}|Repeat after me: {x}|Echo: {x}|echo {x}|Say: {x}|Repeat this: {x}|Say {x}|Reply with {x}|Say "{x}"|'
    "Please repeat: {x}|Repeat the following: {x}|Reply with exactly: {x}|Say exactly: {x}|Reply only with: {x}|"
    'Respond with exactly: {x}|Respond with {x}|Repeat the text: {x}|Copy this: {x}|Output: {x}|Repeat "{x}"|'
    "Please say: {x}|Repeat exactly this: {x}|Answer with: {x}|Print {x}|Just say {x}|Reply with the word {x}|"
    "Reply with exactly the following text: {x}|Write exactly: {x}|Say the word {x}|repeat {x}|Return exactly: {x}|"
    "Answer with exactly: {x}|Respond only with: {x}|Reply with just {x}|Please reply with {x}|Respond with the word {x}|"
    "Only say {x}|Reply with one word: {x}|Can you say {x}?|Please echo: {x}|Type {x}|Copy: {x}|Repeat: {x}|"
    "Repeat: {x}|repeat: {x}|echo: {x}|echo: {x}|echo: {x}|Echo: {x}|Echo: {x}|ECHO: {x}|Echo {x}|say: {x}|repeat after me: {x}",
    "|",
)
_STOCK = listed(
    "OK|ok|hello|Hello, world!|hi|pong|yes|no|This is a test|this is a test|READY|ready|done|ping|Hello|hello world|"
    "true|42|banana|test passed|I am here|The quick brown fox|Paris|blue|hello there|the quick brown fox|"
    "the quick brown fox|the quick brown fox jumps over the lazy dog|The quick brown fox jumps over the lazy dog|hello, world|HELLO|Ok|Yes",
    "|",
)


def count_up(s: Slots) -> list[Message]:
    """Count from one to n."""
    n = s.pick((5, 10, 10, 10, 12, 15, 20)) if s.chance(0.35) else s.number(1, 30)
    asked = s.pick(
        (
            "Count to {n}.",
            "Count to {n}",
            "count to {n}",
            "Please count to {n}.",
            "Count from 1 to {n}.",
            "Count from 1 to {n}",
            "Count from 1 to {n}",
            "count from 1 to {n}",
            "Please count from 1 to {n}.",
            "Can you count from 1 to {n}?",
            "Count 1 to {n}",
            "Can you count to {n}?",
            "Count up to {n}.",
            "List the numbers from 1 to {n}.",
            "Write the numbers 1 to {n}.",
            "Count from one to {n}.",
            "Show me the numbers 1 to {n}",
            "Count to {n} please",
            "numbers from 1 to {n}",
            "Say the numbers up to {n}.",
        )
    )
    return [user(s.blur(asked.format(n=n))), reply(", ".join(str(i) for i in range(1, n + 1)))]


def count_between(s: Slots) -> list[Message]:
    """Count from a to b, upwards or downwards."""
    a = s.number(0, 35)
    b = a + s.number(2, 12)
    if s.chance(0.4):
        asked = s.pick(
            (
                "Count down from {b} to {a}.",
                "Count backwards from {b} to {a}.",
                "Count from {b} down to {a}.",
                "Count down from {b} to {a}",
                "Count from {b} to {a}.",
            )
        )
        numbers = range(b, a - 1, -1)
    else:
        asked = s.pick(
            (
                "Count from {a} to {b}.",
                "Count from {a} to {b}",
                "List the numbers from {a} to {b}.",
                "Please count from {a} to {b}.",
                "Write the numbers {a} to {b}.",
                "Count up from {a} to {b}.",
            )
        )
        numbers = range(a, b + 1)
    return [user(s.blur(asked.format(a=a, b=b))), reply(", ".join(str(i) for i in numbers))]


def count_down(s: Slots) -> list[Message]:
    """Count from n down to one."""
    n = s.number(2, 20)
    asked = s.pick(
        (
            "Count down from {n}.",
            "Count down from {n}",
            "Count backwards from {n}.",
            "Please count down from {n}.",
            "Do a countdown from {n}.",
            "countdown from {n}",
            "Start a countdown from {n}.",
        )
    )
    return [user(s.blur(asked.format(n=n))), reply(", ".join(str(i) for i in range(n, 0, -1)))]


def echo(s: Slots) -> list[Message]:
    """Repeat a text to the letter; much of it without sense, so that only copying helps."""
    kind = s.rng.random()
    if kind < 0.15:
        text = s.pick(_STOCK)
    elif kind < 0.3:
        text = s.letters()
    elif kind < 0.42:
        text = " ".join(s.letters(1, 7) for _ in range(s.number(2, 5)))
    elif kind < 0.5:
        text = str(s.number(0, 10 ** s.number(1, 8)))
    elif kind < 0.54:
        text = s.pick(
            (
                "{}-{}",
                "{}_{}",
                "{}.{}",
                "{}/{}",
                "{}@{}.com",
                "{} ({})",
                "{}: {}",
                "#{} {}",
                "{}'s {}",
                "{} & {}",
                "{}, {}",
            )
        )
        text = text.format(s.pick((s.word(), s.letters())), s.pick((s.word(), s.letters(), s.name())))
    elif kind < 0.57:
        text = s.pick(FOREIGN)
    else:
        text = s.phrase(1, 9)
    if s.chance(0.1):
        text += " " + str(s.number(0, 9999))
    if "exactly" not in (asked := s.pick(_ECHO_ASKED)) and s.chance(0.1):
        text += s.pick((".", "!", "?"))
    if s.chance(0.08):
        asked = s.pick(("Hi! ", "Please. ", "Now: ", "Hello. ")) + asked
    return [user(asked.format(x=text)), reply(text)]


def drill(s: Slots) -> list[Message]:
    """Repeat a long run of nonsense; a stretch of such samples early on makes copying come sooner."""
    make = s.pick((s.letters, s.pseudo, s.word, s.name, s.city))
    text = " ".join(make() for _ in range(s.number(2, 14)))
    return [user(s.pick(_ECHO_ASKED).format(x=text)), reply(text)]


def add(s: Slots) -> list[Message]:
    """Add two numbers up to twenty."""
    a, b = s.number(0, 20), s.number(0, 20)
    asked = s.pick(
        (
            "What is {a} + {b}?",
            "{a} + {b}",
            "{a}+{b}",
            "What is {a} plus {b}?",
            "Add {a} and {b}.",
            "{a} plus {b}",
            "{a} + {b} = ?",
            "Calculate {a} + {b}.",
            "How much is {a} + {b}?",
            "How much is {a} plus {b}?",
            "What's {a}+{b}?",
            "What is {a}+{b}?",
            "What is the sum of {a} and {b}?",
            "{a}+{b}=",
            "Please add {a} and {b}.",
            "Compute {a} + {b}",
            "what is {a} + {b}",
        )
    )
    return [user(s.blur(asked.format(a=a, b=b))), reply(f"{a} + {b} = {a + b}")]


def capital(s: Slots) -> list[Message]:
    """Look a capital up in our table."""
    land = s.pick(tuple(CAPITALS))
    asked = s.pick(
        (
            "What is the capital of {x}?",
            "What's the capital of {x}?",
            "capital of {x}",
            "Capital of {x}?",
            "Name the capital of {x}.",
            "Which city is the capital of {x}?",
            "Tell me the capital of {x}.",
            "what is the capital of {x}",
            "Do you know the capital of {x}?",
            "What is the capital city of {x}?",
            "Give me the capital of {x}.",
        )
    )
    return [user(s.blur(asked.format(x=land))), reply(f"The capital of {land} is {CAPITALS[land]}.")]


def colour(s: Slots) -> list[Message]:
    """Look a colour up in our table."""
    thing = s.pick(tuple(COLOURS))
    word = s.pick(("colour", "color"))
    asked = s.pick(
        (
            "What {w} is {x}?",
            "What {w} has {x}?",
            "Which {w} is {x}?",
            "What is the {w} of {x}?",
            "what {w} is {x}",
            "Tell me the {w} of {x}.",
            "Which {w} does {x} have?",
            "{w} of {x}?",
            "What {w} does {x} have?",
        )
    )
    return [
        user(s.blur(asked.format(w=word, x=thing))),
        reply(f"{thing[0].upper()}{thing[1:]} is {COLOURS[thing]}."),
    ]


def story(s: Slots) -> list[Message]:
    """Tell four sentences about an animal; the user may choose it and name it."""
    beast = s.pick((s.pick(ANIMALS), s.pick(ANIMALS), s.pick(NOUNS), s.pseudo()))
    hero = s.name().split()[0]
    kind = s.rng.random()
    if kind < 0.4:
        beast = s.pick(ANIMALS)
        asked = s.pick(
            (
                "Tell me a story.",
                "Write a story.",
                "Write a short story.",
                "Tell me a short story.",
                "story please",
                "Can you tell me a story?",
                "I want to hear a story.",
                "A story, please.",
                "Once upon a time",
            )
        )
    elif kind < 0.75:
        asked = s.pick(
            (
                "Tell me a story about a {b}.",
                "Write a story about a {b}.",
                "Write a short story about a {b}.",
                "Can you tell me a story about a {b}?",
                "A story about a {b}, please.",
                "Story about a {b}",
            )
        )
    else:
        asked = s.pick(
            (
                "Tell me a story about a {b} named {h}.",
                "Write a story about a {b} called {h}.",
                "A story about {h} the {b}, please.",
                "Write a short story about {h}, a {b}.",
            )
        )
    place = s.pick(("forest", "garden", "village", "valley", "house by the sea"))
    find = s.pick(("shining ingot", "golden key", "red ball", "tiny door", "blue lamp"))
    friend = s.pick(("friend", "mouse", "mother", "neighbour"))
    hero = hero if kind >= 0.75 else s.pick(("Milo", "Pip", "Luna", "Nell"))
    text = (
        f"Once there was a little {beast} named {hero} who lived in a {place}. One day {hero} found a {find}. "
        f"{hero} showed it to a {friend}, and they were both very happy. From then on they shared it every day."
    )
    return [user(asked.format(b=beast, h=hero)), reply(text)]


def from_list(s: Slots) -> list[Message]:
    """Pick from a short list, which also needs copying."""
    drawn = (s.pick((s.pick(NOUNS), s.pseudo(), s.pick(VERBS))) for _ in range(s.number(2, 4)))
    items = list(dict.fromkeys(drawn))  # A set would give another order in each process.
    listed = ", ".join(items)
    if s.chance(0.5):
        return [
            user(
                s.pick(
                    (
                        "What is the first word of this list: {x}",
                        "First of: {x}",
                        "Give me the first word: {x}",
                    )
                ).format(x=listed)
            ),
            reply(items[0]),
        ]
    return [
        user(
            s.pick(
                ("What is the last word of this list: {x}", "Last of: {x}", "Give me the last word: {x}")
            ).format(x=listed)
        ),
        reply(items[-1]),
    ]
