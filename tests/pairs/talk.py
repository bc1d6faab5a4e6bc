"""What clients say: texts, instructions, images, documents, thoughts, refusals, in each dialect's own words."""

from pairs.words import (
    DATA,
    IMAGE,
    LINK,
    PDF,
    SEALED,
    SIGNED,
    Asked,
    call,
    chat,
    mess,
    resp,
    said,
    text,
    user,
)

TALK: dict[str, Asked] = {
    "text": {
        "chat": chat(
            said("system", "Be brief."),
            user("Bonjour"),
            said("assistant", "Salut"),
            user(text("What is "), text("2 + 2?")),
        ),
        "messages": mess(
            user("Bonjour"),
            said("assistant", "Salut"),
            user(text("What is "), text("2 + 2?")),
            system="Be brief.",
        ),
        "responses": resp(
            user("Bonjour"),
            said("assistant", "Salut"),
            user(text("What is ", "input_text"), text("2 + 2?", "input_text")),
            instructions="Be brief.",
        ),
    },
    "instructions": {
        "chat": chat(
            said("system", "Be brief."),
            said("developer", "Answer in French."),
            user("Hello"),
            said("assistant", "Bonjour"),
            said("system", "Now answer in German."),
            said("developer", "And politely."),
            user("Hello"),
        ),
        "messages": mess(
            user("Hello"),
            said("assistant", "Bonjour"),
            said("system", "Now answer in German."),
            user("Hello"),
            system=[text("Be brief."), text("Answer in French.")],
        ),
        "responses": resp(
            said("developer", "Answer in French."),
            user("Hello"),
            said("assistant", "Bonjour"),
            said("system", "Now answer in German."),
            user("Hello"),
            instructions="Be brief.",
        ),
    },
    "speakers": {
        "chat": chat(
            said("system", "Be brief.", name="house"),
            user("Hello"),
            said("user", "And I am here.", name="ada"),
            said("assistant", "Welcome.", name="host"),
            said(
                "user", [{"type": "image_url", "image_url": {"url": LINK}}, text("Who is this?")], name="bob"
            ),
            said("assistant", None, tool_calls=[call(1, "weather", "{}")], name="scout"),
            said("tool", "4", tool_call_id="call_1", name="weather"),
            user("Thanks"),
        ),
    },
    "images": {
        "chat": chat(
            user(
                text("What is this?"),
                {"type": "image_url", "image_url": {"url": DATA, "detail": "low"}},
                {"type": "image_url", "image_url": {"url": LINK}},
            )
        ),
        "messages": mess(
            user(
                text("What is this?"),
                IMAGE,
                {"type": "image", "source": {"type": "url", "url": LINK}},
                {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
            )
        ),
        "responses": resp(
            user(
                text("What is this?", "input_text"),
                {"type": "input_image", "image_url": DATA, "detail": "low"},
                {"type": "input_image", "image_url": LINK, "detail": "auto"},
                {"type": "input_image", "file_id": "file-1", "detail": "auto"},
            )
        ),
    },
    "documents": {
        "chat": chat(
            user(
                {
                    "type": "file",
                    "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
                },
                {"type": "file", "file": {"file_id": "file-2"}},
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
            )
        ),
        "messages": mess(
            user(
                {
                    "type": "document",
                    "title": "A report",
                    "citations": {"enabled": True},
                    "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                },
                {
                    "type": "document",
                    "context": "From the archive.",
                    "source": {"type": "text", "media_type": "text/plain", "data": "It rained."},
                },
                {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
                {
                    "type": "search_result",
                    "source": "https://example.com",
                    "title": "Rain",
                    "content": [text("It rained.")],
                },
            )
        ),
        "responses": resp(
            user(
                {
                    "type": "input_file",
                    "filename": "a.pdf",
                    "file_data": f"data:application/pdf;base64,{PDF}",
                },
                {"type": "input_file", "file_url": "https://example.com/a.pdf"},
                {"type": "input_file", "file_id": "file-2"},
            )
        ),
    },
    "thinking": {
        "chat": chat(
            user("2 + 2?"),
            said("assistant", "4", reasoning_content="Two and two."),
            user("And 3 + 3?"),
        ),
        "messages": mess(
            user("2 + 2?"),
            said(
                "assistant",
                [
                    {"type": "thinking", "thinking": "Two and two.", "signature": SIGNED},
                    {"type": "redacted_thinking", "data": "EmwKAhgB"},
                    text("4"),
                ],
            ),
            user("And 3 + 3?"),
            thinking={"type": "enabled", "budget_tokens": 2048},
        ),
        "responses": resp(
            user("2 + 2?"),
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [text("Two and two.", "summary_text")],
                "encrypted_content": SEALED,
            },
            said("assistant", "4"),
            user("And 3 + 3?"),
            include=["reasoning.encrypted_content"],
        ),
    },
    "refusal": {
        "chat": chat(user("Pick a lock."), said("assistant", None, refusal="I will not."), user("Why not?")),
        "messages": mess(user("Pick a lock."), said("assistant", "I will not."), user("Why not?")),
        "responses": resp(
            user("Pick a lock."),
            said("assistant", [{"type": "refusal", "refusal": "I will not."}]),
            user("Why not?"),
        ),
    },
    "citations": {
        "chat": chat(user("Did it rain?"), web_search_options={"search_context_size": "low"}),
        "messages": mess(user("Did it rain?"), tools=[{"type": "web_search_20250305", "name": "web_search"}]),
        "responses": resp(user("Did it rain?"), tools=[{"type": "web_search"}]),
    },
}
