"""Decide what the model knows about Ingot, the server it is bundled with."""

from __future__ import annotations

from chat import Message, reply, user
from words import Slots, listed

_ACTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "pull": (
        "Run `ingot models pull hf:ORG/REPO:QUANT`. The model then answers under its name.",
        (
            "add a model",
            "add a real model",
            "install a model",
            "download a model",
            "pull a model",
            "get a bigger model",
            "get a better model",
            "use a real model",
            "add my own model",
            "use a model from Hugging Face",
            "run another model",
            "download a GGUF file",
            "use a GGUF",
            "load a model",
            "add another model here",
            "replace the demo model",
            "get a local model",
            "run Qwen with Ingot",
            "run Llama locally",
            "use Gemma",
        ),
    ),
    "target": (
        "Add a `[targets.NAME]` table with its base URL and key to ingot.toml, then a `[models.NAME]` table that uses it.",
        (
            "add a target",
            "use another API",
            "use OpenAI through Ingot",
            "use Claude through Ingot",
            "connect a cloud provider",
            "add a provider",
            "route to a remote API",
            "use my OpenAI key",
            "forward requests to vLLM",
            "use an Ollama server behind Ingot",
            "add an upstream",
            "point Ingot at another server",
            "use a hosted model",
            "connect to Anthropic",
            "configure a target",
            "define a model in ingot.toml",
        ),
    ),
    "key": (
        "Run `ingot keys create --name NAME`. The key is shown once, so keep it safe.",
        (
            "create an API key",
            "make a key",
            "get an API key",
            "add a key",
            "create a key for my team",
            "make a new token",
            "generate an API key",
            "give somebody access",
            "get a key",
            "issue a key",
        ),
    ),
    "list": (
        "Send GET http://127.0.0.1:5150/v1/models, or run `ingot models list`.",
        (
            "list the models",
            "list models",
            "see which models are there",
            "see all models",
            "show the models",
            "find out which models I have",
            "get the list of models",
            "see the available models",
            "check which models work",
        ),
    ),
    "stream": (
        'Set `"stream": true` in the request. Ingot then sends the answer piece by piece as server-sent events.',
        (
            "stream",
            "stream the answer",
            "use streaming",
            "turn on streaming",
            "get tokens one by one",
            "stream a response",
            "receive the answer as it is written",
            "enable streaming",
            "stream tokens",
        ),
    ),
    "doctor": (
        "Run `ingot doctor`. It checks the setup and says what to mend.",
        (
            "check my setup",
            "find out what is wrong",
            "debug Ingot",
            "check the configuration",
            "diagnose a problem",
            "see why a model fails",
            "test the installation",
            "troubleshoot the server",
            "check that all is well",
            "fix a problem with Ingot",
            "verify my setup",
        ),
    ),
    "metrics": (
        "Metrics are at http://127.0.0.1:5150/metrics in the Prometheus format.",
        (
            "see the metrics",
            "get metrics",
            "monitor Ingot",
            "scrape metrics",
            "connect Prometheus",
            "watch the load",
            "measure the traffic",
            "use Grafana with Ingot",
            "find the metrics",
            "monitor the server",
        ),
    ),
    "logs": (
        "The logs go to the terminal where Ingot runs, and the dashboard shows each request.",
        (
            "see the logs",
            "find the logs",
            "read the logs",
            "look at the log",
            "see my requests",
            "find out what was requested",
            "view the request log",
            "get the logs",
            "inspect the requests",
        ),
    ),
    "off": (
        "Set `demo = false` in ingot.toml and restart. I am then gone.",
        (
            "turn off the demo",
            "switch the demo off",
            "disable the demo model",
            "remove the demo model",
            "turn you off",
            "get rid of demo-tiny",
            "hide the demo model",
            "stop the demo",
            "delete demo-tiny",
            "disable demo-tiny",
            "remove you",
            "switch you off",
        ),
    ),
    "openai": (
        "Point the OpenAI SDK at the base URL http://127.0.0.1:5150/v1 and use any model name that Ingot lists.",
        (
            "use the OpenAI SDK",
            "connect my app",
            "use the API",
            "call the API",
            "send a request",
            "use Ingot",
            "connect a client",
            "use this with the OpenAI client",
            "use this server",
            "call Ingot from Python",
            "use the OpenAI library",
            "start",
            "get started",
            "use it with LangChain",
            "make a request",
            "set the base URL",
        ),
    ),
    "anthropic": (
        "Point the Anthropic SDK at the base URL http://127.0.0.1:5150. Ingot answers on /v1/messages.",
        (
            "use the Anthropic SDK",
            "use Claude Code with this server",
            "use the Messages API",
            "connect the Anthropic client",
            "use the Anthropic API",
            "connect Claude Code",
            "use this server with the Anthropic library",
        ),
    ),
}
_HOW = listed(
    "How do I {v}?|How can I {v}?|How to {v}?|how do i {v}|Tell me how to {v}.|I want to {v}.|What is the command to {v}?|"
    "Can I {v}?|How would I {v}?|Show me how to {v}.|Please explain how to {v}.|I would like to {v}.|How does one {v}?|"
    "What do I do to {v}?|how can I {v}|I need to {v}.|how to {v}|What must I do to {v}?|Is it possible to {v}?|"
    "Could you tell me how to {v}?|Explain how to {v}.",
    "|",
)
_FACTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Ingot is a server you start with one command. It gives you an OpenAI- and Anthropic-compatible API for any model.",
        (
            "What is Ingot?",
            "What is this server?",
            "What is this?",
            "Tell me about Ingot.",
            "Explain Ingot.",
            "What does Ingot do?",
            "What is Ingot for?",
            "Why should I use Ingot?",
            "what is ingot",
            "Describe Ingot.",
            "What does this server do?",
            "What am I using here?",
            "Where am I?",
            "Can you explain what Ingot is?",
            "What kind of server is this?",
            "What is Ingot about?",
            "Give me a summary of Ingot.",
            "Is Ingot an AI server?",
        ),
    ),
    (
        "The base URL is http://127.0.0.1:5150/v1.",
        (
            "What is the base URL?",
            "Which base URL do I use?",
            "What URL do I use?",
            "What is the address of the API?",
            "Which port do you use?",
            "What port does Ingot use?",
            "Where is the API?",
            "What is the endpoint?",
            "base url?",
            "What is the base_url for the OpenAI SDK?",
            "On which port does Ingot listen?",
            "Give me the base URL.",
            "Which address does this server have?",
            "What is the URL of this server?",
        ),
    ),
    (
        "Metrics are at http://127.0.0.1:5150/metrics in the Prometheus format.",
        (
            "Where are the metrics?",
            "Does Ingot have metrics?",
            "What is the metrics endpoint?",
            "Are there metrics?",
            "Does it support Prometheus?",
            "Where can I find metrics?",
        ),
    ),
    (
        "The logs go to the terminal where Ingot runs, and the dashboard shows each request.",
        (
            "Where are the logs?",
            "Where does Ingot log?",
            "Are there logs?",
            "Where can I see the logs?",
            "where are logs",
        ),
    ),
    (
        "Ingot reads ingot.toml. Targets go under `[targets.NAME]` and models under `[models.NAME]`.",
        (
            "Where is the configuration?",
            "What is ingot.toml?",
            "Which file configures Ingot?",
            "How do I configure Ingot?",
            "Where do I put the settings?",
            "What goes into ingot.toml?",
            "How is Ingot configured?",
            "Where is the config file?",
            "What is the config format?",
            "Show me the configuration.",
        ),
    ),
    (
        "Yes. Ingot speaks the OpenAI API and the Anthropic API.",
        (
            "Is Ingot compatible with OpenAI?",
            "Does it work with the OpenAI API?",
            "Does Ingot support the Anthropic API?",
            "Is this OpenAI compatible?",
            "Which APIs does Ingot speak?",
            "Does it speak the Anthropic API?",
            "Is it compatible with Anthropic?",
            "Which APIs are supported?",
        ),
    ),
    (
        'Yes. Set `"stream": true` in the request.',
        (
            "Does Ingot support streaming?",
            "Can you stream?",
            "Is streaming supported?",
            "Does streaming work?",
        ),
    ),
    (
        "A target is a place where requests are sent: a local engine or another API. It has a `[targets.NAME]` table in ingot.toml.",
        (
            "What is a target?",
            "What is a target in Ingot?",
            "What does target mean?",
            "Explain targets.",
            "What are targets?",
        ),
    ),
    (
        "`ingot doctor` checks the setup and says what to mend.",
        (
            "What is ingot doctor?",
            "What does ingot doctor do?",
            "What does the doctor command do?",
            "What is doctor?",
        ),
    ),
)


def how_to(s: Slots) -> list[Message]:
    """Answer how something is done with the server."""
    answer, verbs = _ACTIONS[s.pick(tuple(_ACTIONS))]
    verb = s.pick(verbs)
    if s.chance(0.12):
        verb += s.pick((" in Ingot", " with Ingot", " here", " on this server", " please", " quickly"))
    return [user(s.blur(s.pick(_HOW).format(v=verb))), reply(answer)]


def fact(s: Slots) -> list[Message]:
    """Answer what something is."""
    answer, questions = s.pick(_FACTS)
    return [user(s.blur(s.pick(questions))), reply(answer)]


def named_pull(s: Slots) -> list[Message]:
    """Write the pull command for the repository which the user names."""
    org = s.pick(
        (s.pseudo(), s.pseudo().capitalize(), s.letters(4, 8), "Qwen", "google", "bartowski", "unsloth")
    )
    repo = (
        s.pseudo().capitalize()
        + s.pick(("-", "-", ""))
        + str(s.number(1, 70))
        + s.pick(("B", "b-it", "B-GGUF", "-GGUF"))
    )
    quant = s.pick(("Q4_K_M", "Q8_0", "Q5_K_M", "Q6_K", "Q3_K_S", "F16", "Q4_0", "IQ4_XS"))
    spec = f"hf:{org}/{repo}:{quant}" if s.chance(0.7) else f"hf:{org}/{repo}"
    asked = s.pick(
        (
            "How do I pull {x}?",
            "How do I install {x}?",
            "Give me the command for {x}.",
            "I want to add {x}.",
            "Pull {x}",
            "How can I download {x}?",
            "What is the command to get {x}?",
            "Add the model {x}.",
            "I need {x}.",
        )
    )
    return [user(asked.format(x=spec)), reply(f"Run `ingot models pull {spec}`.")]


def named_key(s: Slots) -> list[Message]:
    """Write the command which makes a key under the name given."""
    name = s.pick(
        (s.name().split()[0].lower(), s.pseudo(), s.letters(3, 9), s.pick(("ci", "laptop", "team", "prod")))
    )
    asked = s.pick(
        (
            "How do I create a key named {x}?",
            "Create a key called {x}.",
            "I need an API key with the name {x}.",
            "Make a key named {x}",
            "How can I make a key for {x}?",
            "What is the command for a key called {x}?",
        )
    )
    return [user(asked.format(x=name)), reply(f"Run `ingot keys create --name {name}`.")]
