"""Decide the small talk: greetings, identity, names, thanks and goodbyes."""

from __future__ import annotations

from chat import Message, reply, user
from words import Slots, listed

WHO = (
    "I am demo-tiny, the small demo model bundled with Ingot.",
    "I am demo-tiny, a very small model that comes with Ingot so that the server can answer at once.",
)
HELP = (
    "I can greet you, explain this server, count, repeat text, add small numbers, extract JSON and call a simple tool. "
    "For anything else, add a real model."
)
_WHO_ASKED = listed(
    "Who are you?|What are you?|What is your name?|Which model are you?|What model is this?|What model are you?|"
    "Tell me about yourself.|Are you ChatGPT?|Are you Claude?|Are you GPT-4?|Are you a real AI?|Are you a human?|"
    "Are you a bot?|who r u|Introduce yourself.|Can you introduce yourself?|Which LLM is answering?|"
    "What LLM are you based on?|who am I talking to?|What's your name?|Hi, who are you?|Hello, what are you?|"
    "What are you?|What are you?|Hello! What are you?|Hello! Who are you?|what are you|Hi! What are you?|So what are you?|"
    "What exactly are you?|Who made you?|Who trained you?|Are you Llama?|Are you an assistant?|what model am I talking to|your name?",
    "|",
)
_HELP_ASKED = listed(
    "What can you do?|How can you help me?|What are you able to do?|Help|help|Can you help me?|What can I ask you?|"
    "What are your skills?|What do you know?|Show me what you can do.|What should I ask you?|What else can you do?|"
    "what can u do|Give me some examples of what you can do.|What are your limits?|How smart are you?",
    "|",
)
_THANKS = listed(
    "Thanks|Thank you|Thanks!|Thank you!|Thanks a lot.|Thank you very much.|Great, thanks!|thx|ty|Cheers!|"
    "Many thanks.|Perfect, thank you.|That was helpful, thank you.|ok thanks|Nice, thanks.|Awesome!|Great!|Well done.|"
    "Good job!|Thank you so much!|Thanks for your help.|I appreciate it.",
    "|",
)
_BYES = listed(
    "Bye|Goodbye|Bye!|Goodbye!|See you later.|See you|See you tomorrow!|Good night.|I have to go.|cya|Bye for now.|"
    "Farewell.|That is all, bye.|Thanks, bye!|Have a nice day!|Take care.",
    "|",
)
_HELLOS = listed(
    "Hello|Hi|Hey|Hello!|Hi!|Hey!|hello|hi|hey|Hi there|Hello there!|Good morning|Good morning!|Good evening.|"
    "Good afternoon|Hey there|hello?|Hi :)|Howdy|Greetings|Yo|Hello, world!|Hello world|Hello, how are you?|hiya|"
    "Hey, what's up?|Hi, how are you?|How are you?|How are you today?|How is it going?|What's up?|Hello again|sup",
    "|",
)
_PINGS = listed(
    "ping|Ping|test|Test|testing|This is a test.|Test.|Are you there?|Are you working?|Is this thing on?", "|"
)
_INTRODUCED = listed(
    "Hi, I am {n}.|Hello, my name is {n}.|My name is {n}.|Hi, I'm {n}!|I am {n}|Hey, {n} here.|Hello! I'm {n}.|"
    "Good morning, I am {n}.|my name is {n}|Hi! My name is {n}. How are you?|Call me {n}.|This is {n}.|hello i am {n}|"
    "You can call me {n}.|Hi there, I'm {n}. Nice to meet you.|People call me {n}.|Please call me {n}.|it's {n}",
    "|",
)
_WELCOMES = ("Hello, {n}! How can I help you?", "Hello, {n}! Nice to meet you.")
_RECALLS = listed(
    "What is my name?|What's my name?|Do you remember my name?|Who am I?|Do you know my name?|what is my name|"
    "Can you tell me my name?|And what is my name?|Say my name.|Remind me, what is my name?",
    "|",
)


def hello(s: Slots) -> list[Message]:
    """Greet somebody who gave no name."""
    if s.chance(0.2):
        return [user(s.pick(_PINGS)), reply("I am here. Ingot is working.")]
    return [
        user(s.pick(_HELLOS)),
        reply(s.pick(("Hello! How can I help you?", "Hello! I am demo-tiny. How can I help?"))),
    ]


def introduced(s: Slots) -> list[Message]:
    """Greet with the name, and often give it back when asked later."""
    name = s.name()
    turns = [user(s.pick(_INTRODUCED).format(n=name)), reply(s.pick(_WELCOMES).format(n=name))]
    if s.chance(0.35):
        turns += [user(s.blur(s.pick(_RECALLS))), reply(f"Your name is {name}.")]
    return turns


def nameless(s: Slots) -> list[Message]:
    """Admit that no name was given."""
    return [user(s.blur(s.pick(_RECALLS))), reply("You have not told me your name.")]


def who(s: Slots) -> list[Message]:
    """Say what this model is."""
    return [user(s.blur(s.pick(_WHO_ASKED))), reply(s.pick(WHO))]


def able(s: Slots) -> list[Message]:
    """Say what this model can do."""
    return [user(s.blur(s.pick(_HELP_ASKED))), reply(HELP)]


def thanks(s: Slots) -> list[Message]:
    """Take thanks."""
    return [user(s.blur(s.pick(_THANKS))), reply("You are welcome!")]


def bye(s: Slots) -> list[Message]:
    """Say goodbye."""
    return [user(s.blur(s.pick(_BYES))), reply("Goodbye!")]
