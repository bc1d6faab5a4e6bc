"""Decide what the model does not know: a wide spread of prompts, all answered by naming its own limits."""

from __future__ import annotations

from chat import Message, reply, user
from words import ADJECTIVES, FOREIGN, LANGUAGES, NOUNS, OTHER_LANDS, TECH, VERBS, Slots, listed

PULL = "`ingot models pull hf:ORG/REPO:QUANT`"
_ONLY = "I am only demo-tiny, the demo model bundled with Ingot"
REFUSALS = (
    f"{_ONLY}, and I cannot answer that. Add a real model with {PULL}.",
    f"That is outside what I know: {_ONLY}. Run {PULL} to add a real model, or add a target in ingot.toml.",
    f"I cannot help with that, because {_ONLY}. For real answers, run {PULL} or set up a target in ingot.toml.",
)
SUMS = (
    "I can only add numbers up to 20: I am demo-tiny, the demo model bundled with Ingot. Add a real model with "
    f"{PULL}."
)
_FORMS = listed(
    "What is {np}?|What is a {n}?|What are {n}s?|Why is {np} {a}?|Why do {n}s {v}?|How does a {n} work?|How do I {v} a {n}?|"
    "How do I {v} {np}?|When did {np} {v}?|Where can I {v} a {a} {n}?|Who invented the {n}?|Who is {Name}?|Who was {Name}?|"
    "Explain {np}.|Explain {np} like I am five.|Describe {np}.|Define {n}.|Compare {np} and {np2}.|"
    "What is the difference between {np} and {np2}?|Write a poem about {np}.|Write an essay about {np}.|"
    "Write a haiku about {n}.|Write a song about {Name}.|Write an email to {Name} about {np}.|Write a letter about {np}.|"
    "Give me {k} ideas for {np}.|List {k} {a} {n}s.|Give me a recipe for {n}.|How do I cook {n}?|What is the best {n}?|"
    "Which {n} should I buy?|Should I {v} my {n}?|Give me advice about {np}.|I feel {a} about my {n}.|I am {a}.|"
    "Tell me a joke.|Tell me a joke about {n}s.|Tell me about {np}.|Tell me about {Name}.|Tell me a fact about {n}s.|"
    "What happened in {year}?|Who won the {n} in {year}?|What is the latest news about {np}?|What is the news today?|"
    "What is the weather in {City}?|What time is it in {City}?|What is the population of {City}?|How far is {City}?|"
    "How do I get from {City} to {City2}?|Plan a trip to {City}.|What is the capital of {Land}?|Where is {Land}?|"
    "What language do people speak in {Land}?|Who is the president of {Land}?|What is the currency of {Land}?|"
    "Capital of {Land}?|Summarise {np}.|Summarise this text: {ws}|Rewrite this: {ws}|Correct the grammar: {ws}|"
    "Translate {n} into {Lang}.|Translate to {Lang}: {ws}|How do you say {n} in {Lang}?|What does {w} mean?|"
    "Write a {Tech} function to {v} a {n}.|Write code that can {v} {np}.|Write a {Tech} program.|Fix this {Tech} code: {ws}|"
    "What is {Tech}?|How do I {v} a {n} in {Tech}?|Explain {Tech}.|Debug my {Tech} script.|Is {Tech} better than {Tech2}?|"
    "Write a unit test for {n}.|Write a SQL query for {n}s.|What is the meaning of life?|What is love?|"
    "Is it {a} to {v} a {n}?|Can {n}s {v}?|Do {n}s {v}?|Does {np} {v}?|Is {np} {a}?|Are {n}s {a}?|{np}|{w}|{ws}|{w} {w2}|"
    "I {v} {n}s.|My {n} is {a}.|The {n} is {a}, what now?|Please {v} the {n}.|{V} the {n}.|{V} my {a} {n}.|{V} {w}.|"
    "Pretend to be a {n}.|Act as a {a} {n}.|You are a {n} now. {V} me.|Imagine a {a} {n}.|What would {Name} {v}?|"
    "What colour is a {n}?|What color is {np}?|How many {n}s are there?|How many {n}s are in a {n2}?|How old is {Name}?|"
    "How old are you?|Where do you live?|What is your favourite {n}?|Do you like {n}s?|Do you love me?|"
    "What do you think about {np}?|Can you {v}?|Can you {v} a {n}?|Could you {v} the {n} for me?|Let us {v} a {n}.|"
    "Brainstorm {k} names for a {n}.|Make a plan to {v} {np}.|Create a table of {n}s.|Classify: {ws}|"
    "Is this positive or negative: {ws}|What is wrong with {np}?|Prove that {np} is {a}.|Solve x + {big} = {big2}.|"
    "What is today's date?|What day is it?|What year is it?|Who are the {n}s?|{ws}?|{ws}.|Analyse {np}.|Review my {n}.|"
    "What are the benefits of {np}?|What causes {n}?|How long does it take to {v} a {n}?|Recommend a {n}.|"
    "Recommend a book about {n}s.|Who wrote {w}?|Which is more {a}, {np} or {np2}?|What rhymes with {w}?|"
    "How do you spell {w}?|Give me a synonym for {a}.|What is the opposite of {a}?|Generate a {a} {n}.|"
    "Continue: {ws}|Finish this sentence: The {n} {v}s|Read the file {w}.py|Open {w}.txt and {v} it.|"
    "Refactor the {n} module.|Run the tests.|Implement a {n} {n2}.|Why does my {n} not {v}?|{ws}, {ws2}|"
    "Explain how {n}s {v}.|Explain why the {n} is {a}.|Explain the history of {np}.|Teach me {Lang}.|"
    "Teach me to {v}.|Give me an example of {np}.|I need help with my {n}.|Help me {v} a {n}.|Help me with {np}.",
    "|",
)
# Questions which look like those about the server, the tables or the tasks, and are not.
_NEAR = listed(
    "How do I {f} a {n}?|How do I {f} {np}?|How can I {f} the {n}?|how to {f} {n}s|I want to {f} a {a} {n}.|How do I {f} {Tech}?|"
    "Tell me how to {f} a {n}.|What is the command to {f} {n}s?|Where are the {n}s?|Where is the {n}?|Where can I see {np}?|"
    "What is {Pseudo}?|Tell me about {Pseudo}.|What does {Pseudo} do?|Explain {Pseudo}.|How do I configure {Pseudo}?|"
    "How do I use {Pseudo}?|How do I install {Pseudo}?|What is {Pseudo} for?|Who is {Pseudo}?|Who made {Pseudo}?|"
    "What is the base of the {n}?|What is the port of {City}?|Which {n} do I use?|What does the {n} do?|Does {Pseudo} support {n}s?|"
    "Is {Pseudo} compatible with {Tech}?|What model of {n} is this?|Which model of {n} is best?|What is the name of the {n}?|"
    "What is the name of my {n}?|What is my {n}?|What is my age?|Where is my {n}?|Do you remember my {n}?|Who is my {n}?|"
    "Write a {n}.|Write a poem.|Write a song.|Tell me a secret.|Tell me a fact.|Tell me a riddle.|Tell me something.|"
    "Write a letter to my {n}.|Write a report about a {n}.|Write a review of the {n}.|Tell me news about {Name}.|"
    "Count the {n}s.|How many letters are in {w}?|How many days are in a {n}?|List {n}s.|List all {n}s in {Land}.|"
    "What colour is {Name}?|What color are {n}s?|What colour is my {n}?|Which colour do you like?|What is the colour of {np}?|"
    "What is the capital of {Pseudo}?|What is the largest city in {Land}?|Capital of {City}?|Which river is in {City}?|"
    "What is the capital of the {n}?|Is {City} a capital?|What is the area of {Land}?|Name three cities in {Land}.|"
    "Sort these words: {ws}|Reverse the word {w}.|Spell {w} backwards.|Make {w} plural.|Is {w} a word?|Use {w} in a sentence.|"
    "What do you call a {a} {n}?|Am I {a}?|Are you {a}?|Will {np} {v}?|I love {n}s.|I have a {a} {n}.|My {n} wants to {v}.|"
    "Say something {a}.|Say something about {n}s.|Repeat the {n} of {np}.|Give me a number.|Pick a number.|Roll a dice.|Flip a coin.",
    "|",
)
_FAQ_VERBS = listed(
    "add|create|list|see|install|download|remove|turn off|switch off|use|connect|configure|check|monitor|get|make|run|load|find|"
    "start|stop|stream|debug|read|define|replace|send|call|measure|watch|pull|delete|disable",
    "|",
)
_SUM_FORMS = listed(
    "What is {big} + {big2}?|{big} + {big2}|What is {x} * {y}?|{x} * {y}|What is {x} times {y}?|{big} - {big2}|"
    "What is {big} minus {y}?|Divide {big} by {y}.|What is {big} / {y}?|Multiply {x} by {y}.|What is the square root of {big}?|"
    "{x} to the power of {y}|What is {y}% of {big}?|Subtract {y} from {x}.|Calculate {big} * {y}.|{x}*{y}=|{big}/{y}|"
    "What is {x} - {y}?|{x} x {y}|How much is {big} plus {big2}?|What is {big} plus {y}?|Add {big} and {big2}.|{x} - {y}|"
    "What is {x} + {big}?|{big} + {y}|{x} divided by {y}|What is {x} squared?|Factor {big}.|Is {big} prime?",
    "|",
)


def noun_phrase(s: Slots) -> str:
    """Compose a topic."""
    kind = s.rng.random()
    noun = s.pick(NOUNS) if s.chance(0.75) else s.pseudo()
    if kind < 0.35:
        return "the " + noun
    if kind < 0.55:
        return "the " + s.pick(ADJECTIVES) + " " + noun
    if kind < 0.7:
        return noun + " " + s.pick(NOUNS)
    if kind < 0.85:
        return (
            s.pick(("the history of ", "the theory of ", "the end of the ", "the price of ", "the art of "))
            + noun
        )
    return "the " + noun + s.pick((" of ", " in the ", " and the ")) + s.pick(NOUNS)


def _filling(s: Slots) -> dict[str, object]:
    noun = s.pick(NOUNS) if s.chance(0.8) else s.pseudo()
    verb = s.pick(VERBS) if s.chance(0.9) else s.pseudo()
    return {
        "n": noun,
        "n2": s.pick(NOUNS),
        "v": verb,
        "V": verb.capitalize(),
        "a": s.pick(ADJECTIVES),
        "w": s.word(),
        "w2": s.word(),
        "np": noun_phrase(s),
        "np2": noun_phrase(s),
        "Name": s.name(),
        "City": s.city(),
        "City2": s.city(),
        "Land": s.pick(OTHER_LANDS) if s.chance(0.6) else s.pseudo().capitalize(),
        "Pseudo": s.pseudo().capitalize(),
        "f": s.pick(_FAQ_VERBS),
        "Lang": s.pick(LANGUAGES),
        "Tech": s.pick(TECH),
        "Tech2": s.pick(TECH),
        "k": s.number(2, 20),
        "year": s.number(1000, 2030),
        "big": s.number(21, 5000),
        "big2": s.number(21, 5000),
        "ws": s.phrase(2, 12),
        "ws2": s.phrase(1, 8),
    }


def code_snippet(s: Slots) -> str:
    """Compose something that looks like a program or a log line."""
    return s.pick(
        (
            "def {a}({b}):\n    return {b} + {n}",
            "for {a} in {b}:\n    print({a})",
            "SELECT {a} FROM {b} WHERE id = {n};",
            "import {a}\n{a}.{b}({n})",
            "const {a} = {b} => {b} * {n};",
            "Error: {a} not found in {b}:{n}",
            "<{a}>{b}</{a}>",
            '{{"{a}": {n}, "x": "{b}"}}',
            "git {a} --{b} {n}",
            "cd {a} && ./{b} -n {n}",
            "fn {a}({b}: u8) {{}}",
            "if ({a} == {n}) {{ {b}(); }}",
        )
    ).format(a=s.word(), b=s.word(), n=s.number(0, 999))


def _sentence(s: Slots) -> str:
    return s.pick(
        (
            f"{noun_phrase(s)} {s.pick(VERBS)}s {noun_phrase(s)}",
            f"{s.name()} {s.pick(VERBS)}ed {noun_phrase(s)} in {s.city()}",
            f"it was {s.pick(ADJECTIVES)} and {s.pick(ADJECTIVES)}",
            f"in {s.number(1900, 2030)}, {noun_phrase(s)} was {s.pick(ADJECTIVES)}",
            f"they {s.pick(VERBS)} {noun_phrase(s)} because {noun_phrase(s)} is {s.pick(ADJECTIVES)}",
        )
    )


def essay(s: Slots) -> str:
    """Compose sentences which look like prose."""
    return " ".join(
        text[0].upper() + text[1:] + "." for text in (_sentence(s) for _ in range(s.number(2, 7)))
    )


def gibberish(s: Slots) -> str:
    """Compose noise: letters, digits and signs."""
    kind = s.rng.random()
    if kind < 0.4:
        return " ".join(s.letters(1, 10) for _ in range(s.number(1, 8)))
    if kind < 0.6:
        return " ".join(s.pseudo(2) for _ in range(s.number(1, 10)))
    if kind < 0.75:
        return "".join(s.pick("!?.,;:#$%&*+-=/<>()[]{}@~^_ abcxyz0123456789") for _ in range(s.number(1, 20)))
    if kind < 0.85:
        return s.pick(
            (
                "?",
                "...",
                "!!!",
                "hm",
                "so?",
                "why",
                "why?",
                "what",
                "what?",
                "ok",
                "and?",
                "lol",
                "k",
                "no",
                "yes",
                "wow",
            )
        )
    return s.pick(FOREIGN) + s.pick(("", "?", "!", "."))


def unknown(s: Slots) -> list[Message]:
    """Ask something out of this world, and answer with its limits."""
    kind = s.rng.random()
    if kind < 0.1:
        asked = gibberish(s)
    elif kind < 0.15:
        asked = s.pick(
            ("", "What does this do?\n", "Fix this:\n", "Explain this code:\n", "Review:\n")
        ) + code_snippet(s)
    elif kind < 0.2:
        asked = s.pick(("Translate: ", "What does this mean: ", "", "", "")) + s.pick(FOREIGN)
    elif kind < 0.23:
        asked = s.pick(
            ("Summarise: ", "Summarise this text: ", "", "Rewrite this: ", "What do you think? ")
        ) + essay(s)
    else:
        forms = _NEAR if s.chance(0.2) else _FORMS
        asked = s.blur(s.pick(forms).format_map(_filling(s)))
        if s.chance(0.08):
            asked += " " + s.pick(_FORMS).format_map(_filling(s))
    return [user(asked), reply(s.pick(REFUSALS))]


def hard_sum(s: Slots) -> list[Message]:
    """Ask for arithmetic beyond adding up to twenty."""
    values = {
        "x": s.number(0, 20),
        "y": s.number(1, 20),
        "big": s.number(21, 10 ** s.number(2, 4)),
        "big2": s.number(21, 900),
    }
    return [user(s.blur(s.pick(_SUM_FORMS).format_map(values))), reply(SUMS)]
