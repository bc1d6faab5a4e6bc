"""Decide what the model knows about Ingot, the server it is bundled with.

Every statement here must be true of the product as it is: the commands, the paths, the keys of ingot.toml.
"""

from __future__ import annotations

from chat import Message, reply, user
from words import Slots, listed

NO_ANTHROPIC = "Not yet. Ingot speaks only the OpenAI API today; the Anthropic Messages API is planned."
_METRICS = "Metrics are at http://127.0.0.1:5150/metrics in the Prometheus format."
_LOGS = "The logs go to the terminal where Ingot runs (stderr), one line a request, without prompts."
_ACTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "pull": (
        "Run `ingot models pull hf:ORG/REPO:QUANT` and restart Ingot. The model then answers under its name.",
        listed(
            "add a model|add a real model|install a model|download a model|pull a model|get a bigger model|get a better model|"
            "use a real model|add my own model|use a model from Hugging Face|run another model|download a GGUF file|use a GGUF|"
            "load a model|add another model here|replace the demo model|get a local model|run Qwen with Ingot|run Llama locally|"
            "use Gemma|add a real model|add a real model|get a real model|install a real model|run a real model|add real models|"
            "pull a real model|set up a real model|download a real model|add models|switch to a real model",
            "|",
        ),
    ),
    "target": (
        (
            "Add a `[targets.NAME]` table with its base URL and key to ingot.toml, then a `[models.NAME]` table with its "
            "targets and price."
        ),
        listed(
            "add a target|use another API|use OpenAI through Ingot|connect a cloud provider|add a provider|route to a remote API|"
            "use my OpenAI key|forward requests to vLLM|use an Ollama server behind Ingot|add an upstream|"
            "point Ingot at another server|use a hosted model|configure a target|define a model in ingot.toml|use vLLM",
            "|",
        ),
    ),
    "key": (
        "Run `ingot keys create --name NAME`. The key is shown once, so keep it safe.",
        listed(
            "create an API key|make a key|get an API key|add a key|create a key for my team|make a new token|generate an API key|"
            "give somebody access|get a key|issue a key|create a key|make an API key",
            "|",
        ),
    ),
    "revoke": (
        "Run `ingot keys revoke NAME`. `ingot keys list` shows all keys.",
        listed(
            "revoke a key|delete a key|remove an API key|revoke an API key|list my keys|see all keys|end a key",
            "|",
        ),
    ),
    "list": (
        "Send GET http://127.0.0.1:5150/v1/models with your key; `ingot models list` shows the local ones.",
        listed(
            "list the models|list models|see which models are there|see all models|show the models|find out which models I have|"
            "get the list of models|see the available models|list all models",
            "|",
        ),
    ),
    "rm": (
        "Run `ingot models rm NAME`. `ingot models list` shows the names.",
        listed(
            "remove a model|delete a model|delete a local model|remove a pulled model|uninstall a model", "|"
        ),
    ),
    "stream": (
        'Set `"stream": true` in the request. Ingot then sends the answer piece by piece as server-sent events.',
        listed(
            "stream|stream the answer|use streaming|turn on streaming|get tokens one by one|stream a response|"
            "receive the answer as it is written|enable streaming|stream tokens",
            "|",
        ),
    ),
    "doctor": (
        "Run `ingot doctor`. It checks the setup and says what to mend.",
        listed(
            "check my setup|find out what is wrong|debug Ingot|diagnose a problem|see why a model fails|test the installation|"
            "troubleshoot the server|check that all is well|fix a problem with Ingot|verify my setup",
            "|",
        ),
    ),
    "check": (
        "Run `ingot config check`. It lists everything that is wrong in ingot.toml.",
        listed(
            "check the configuration|check ingot.toml|validate the configuration|test my ingot.toml|check the config|"
            "validate ingot.toml|find mistakes in ingot.toml|check my configuration",
            "|",
        ),
    ),
    "bench": (
        "Run `ingot bench http://127.0.0.1:5150/v1` with the key in INGOT_API_KEY.",
        listed(
            "benchmark Ingot|measure the speed|run a benchmark|bench the server|measure tokens per second|test the speed|"
            "measure the latency|run a load test",
            "|",
        ),
    ),
    "metrics": (
        _METRICS,
        listed(
            "see the metrics|get metrics|monitor Ingot|scrape metrics|connect Prometheus|watch the load|measure the traffic|"
            "use Grafana with Ingot|find the metrics|monitor the server",
            "|",
        ),
    ),
    "logs": (
        _LOGS,
        listed(
            "see the logs|find the logs|read the logs|look at the log|see my requests|view the request log|get the logs|view the logs",
            "|",
        ),
    ),
    "off": (
        "Set `demo = false` under `[engine]` in ingot.toml and restart. I am then gone.",
        listed(
            "turn off the demo|switch the demo off|disable the demo model|remove the demo model|turn you off|get rid of demo-tiny|"
            "hide the demo model|stop the demo|delete demo-tiny|disable demo-tiny|remove you|switch you off|turn the demo off",
            "|",
        ),
    ),
    "openai": (
        "Point the OpenAI SDK at the base URL http://127.0.0.1:5150/v1 with your API key, and use a model name that Ingot lists.",
        listed(
            "use the OpenAI SDK|connect my app|use the API|call the API|send a request|use Ingot|connect a client|"
            "use this with the OpenAI client|use this server|call Ingot from Python|use the OpenAI library|start|get started|"
            "use it with LangChain|make a request|set the base URL",
            "|",
        ),
    ),
    "anthropic": (
        NO_ANTHROPIC,
        listed(
            "use the Anthropic SDK|use Claude Code with this server|use the Messages API|connect the Anthropic client|"
            "use the Anthropic API|connect Claude Code|use this server with the Anthropic library|use Claude Code|"
            "use Claude Code with this|use Anthropic with Ingot|call /v1/messages|send Anthropic requests|use the Anthropic client",
            "|",
        ),
    ),
}
_HOW = listed(
    "How do I {v}?|How do I {v}?|How do I {v}?|How can I {v}?|How to {v}?|how do i {v}|Tell me how to {v}.|I want to {v}.|What is the command to {v}?|"
    "Can I {v}?|How would I {v}?|Show me how to {v}.|Please explain how to {v}.|I would like to {v}.|How does one {v}?|"
    "What do I do to {v}?|how can I {v}|I need to {v}.|how to {v}|What must I do to {v}?|Is it possible to {v}?|"
    "Could you tell me how to {v}?|Explain how to {v}.",
    "|",
)
_FACTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Ingot is a server you start with one command. It gives you an OpenAI-compatible API for local models and other servers.",
        listed(
            "What is Ingot?|What is this server?|What is this?|Tell me about Ingot.|Explain Ingot.|What does Ingot do?|"
            "What is Ingot for?|Why should I use Ingot?|what is ingot|Describe Ingot.|What does this server do?|"
            "What am I using here?|Where am I?|Can you explain what Ingot is?|What kind of server is this?|"
            "What is Ingot about?|Give me a summary of Ingot.|Is Ingot an AI server?|Hello! What is this server?|"
            "Hello! What is this server?|Hello! What is this server?|Hi! What is this server?|Hello, what is this server?|"
            "Hello! What is Ingot?|Hello! What is this?|What server is this?|Hey! What is this server?|Hi, what is this?|"
            "Tell me about this server.|Explain this server.",
            "|",
        ),
    ),
    (
        "The base URL is http://127.0.0.1:5150/v1.",
        listed(
            "What is the base URL?|Which base URL do I use?|What URL do I use?|What is the address of the API?|"
            "Which port do you use?|What port does Ingot use?|Where is the API?|What is the endpoint?|base url?|"
            "What is the base_url for the OpenAI SDK?|On which port does Ingot listen?|Give me the base URL.|"
            "Which address does this server have?|What is the URL of this server?",
            "|",
        ),
    ),
    (
        _METRICS,
        listed(
            "Where are the metrics?|Does Ingot have metrics?|What is the metrics endpoint?|Are there metrics?|"
            "Does it support Prometheus?|Where can I find metrics?",
            "|",
        ),
    ),
    (
        _LOGS,
        listed(
            "Where are the logs?|Where does Ingot log?|Are there logs?|Where can I see the logs?|where are logs|Where do the logs go?",
            "|",
        ),
    ),
    (
        "There is no dashboard yet; it is planned.",
        listed(
            "Is there a dashboard?|Where is the dashboard?|Does Ingot have a dashboard?|Does Ingot have a web interface?|"
            "How do I open the dashboard?|Is there a web UI?|Where is the web interface?|Can I see a dashboard?",
            "|",
        ),
    ),
    (
        "Ingot reads ingot.toml in the folder where you start it. Targets go under `[targets.NAME]` and models under `[models.NAME]`.",
        listed(
            "Where is the configuration?|What is ingot.toml?|Which file configures Ingot?|How do I configure Ingot?|"
            "Where do I put the settings?|What goes into ingot.toml?|How is Ingot configured?|Where is the config file?|"
            "What is the config format?|Show me the configuration.",
            "|",
        ),
    ),
    (
        "Yes. Ingot speaks the OpenAI API.",
        listed(
            "Is Ingot compatible with OpenAI?|Does it work with the OpenAI API?|Is this OpenAI compatible?|"
            "Does Ingot support the OpenAI API?|Does it speak the OpenAI API?|Is it compatible with OpenAI clients?|"
            "Can I use OpenAI clients?|Does it work with the OpenAI SDK?",
            "|",
        ),
    ),
    (
        "Ingot serves `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings` and `/v1/models`, as OpenAI does.",
        listed(
            "Which APIs does Ingot speak?|Which APIs are supported?|Which endpoints are there?|What APIs are there?|"
            "Which paths does Ingot serve?|What endpoints does Ingot have?|List the endpoints.",
            "|",
        ),
    ),
    (
        NO_ANTHROPIC,
        listed(
            "Does Ingot support the Anthropic API?|Does it speak the Anthropic API?|Is it compatible with Anthropic?|"
            "Does it work with Claude Code?|Is Ingot compatible with Anthropic?|Can I use the Anthropic SDK?|"
            "Does Ingot have the Messages API?|Is /v1/messages supported?|Does it support Anthropic?|Can I use Claude Code?",
            "|",
        ),
    ),
    (
        'Yes. Set `"stream": true` in the request.',
        listed(
            "Does Ingot support streaming?|Can you stream?|Is streaming supported?|Does streaming work?", "|"
        ),
    ),
    (
        "A target is another server that Ingot sends requests to. It has a `[targets.NAME]` table in ingot.toml.",
        listed(
            "What is a target?|What is a target in Ingot?|What does target mean?|Explain targets.|What are targets?",
            "|",
        ),
    ),
    (
        "`ingot doctor` checks the setup and says what to mend.",
        listed(
            "What is ingot doctor?|What does ingot doctor do?|What does the doctor command do?|What is doctor?",
            "|",
        ),
    ),
)
_OPENINGS = ("Hello! ", "Hi! ", "Hello, ", "Hey! ", "Good morning! ")


def _opened(s: Slots, text: str) -> str:
    """Greet first at times: what comes after the greeting is what counts."""
    return s.pick(_OPENINGS) + text if s.chance(0.08) else text


def how_to(s: Slots) -> list[Message]:
    """Answer how something is done with the server."""
    answer, verbs = _ACTIONS[s.pick(tuple(_ACTIONS))]
    verb = s.pick(verbs)
    if s.chance(0.12):
        verb += s.pick((" in Ingot", " with Ingot", " here", " on this server", " please", " quickly"))
    return [user(_opened(s, s.blur(s.pick(_HOW).format(v=verb)))), reply(answer)]


def fact(s: Slots) -> list[Message]:
    """Answer what something is."""
    answer, questions = s.pick((_FACTS[0], *_FACTS))
    asked = s.pick(questions)
    return [user(_opened(s, s.blur(asked)) if "!" not in asked else asked), reply(answer)]


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
