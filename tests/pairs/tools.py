"""Tools that clients offer, and what became of calls, in each dialect's own words."""

from pairs.words import (
    DATA,
    GRAMMAR,
    IMAGE,
    WEATHER,
    WEATHER_FLAT,
    WEATHER_TOOL,
    Asked,
    call,
    chat,
    every,
    function,
    function_call,
    mess,
    output,
    resp,
    result,
    said,
    text,
    tool_use,
    user,
)

TOOLS: dict[str, Asked] = {
    "tools_parallel": {
        "chat": chat(
            user("Weather in Oslo and Rome?"),
            said(
                "assistant",
                "I look.",
                tool_calls=[call(1, "weather", '{"city": "Oslo"}'), call(2, "weather", '{"city":"Rome"}')],
            ),
            said("tool", "4 °C", tool_call_id="call_1"),
            said("tool", [text("19 °C")], tool_call_id="call_2"),
            user("And in Bern?"),
            tools=[WEATHER, function("now", {"type": "object", "properties": {}}, strict=True)],
            tool_choice="required",
            parallel_tool_calls=False,
        ),
        "messages": mess(
            user("Weather in Oslo and Rome?"),
            said(
                "assistant",
                [
                    text("I look."),
                    tool_use(1, "weather", {"city": "Oslo"}),
                    tool_use(2, "weather", {"city": "Rome"}),
                ],
            ),
            user(result(1, "4 °C"), result(2, [text("19 °C")]), text("And in Bern?")),
            tools=[WEATHER_TOOL, {"name": "now", "input_schema": {"type": "object", "properties": {}}}],
            tool_choice={"type": "any", "disable_parallel_tool_use": True},
        ),
        "responses": resp(
            user("Weather in Oslo and Rome?"),
            said("assistant", "I look."),
            function_call(1, "weather", '{"city": "Oslo"}'),
            function_call(2, "weather", '{"city":"Rome"}'),
            output(1, "4 °C"),
            output(2, "19 °C"),
            user("And in Bern?"),
            tools=[WEATHER_FLAT],
            tool_choice="required",
            parallel_tool_calls=False,
        ),
    },
    "tool_named": every(
        {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "weather"}}},
        {"tools": [WEATHER_TOOL], "tool_choice": {"type": "tool", "name": "weather"}},
        {"tools": [WEATHER_FLAT], "tool_choice": {"type": "function", "name": "weather"}},
    ),
    "tool_images": {
        "chat": chat(
            user("Look."),
            said("assistant", None, tool_calls=[call(1, "weather", "{}")]),
            said("tool", "A chart.", tool_call_id="call_1"),
            tools=[WEATHER],
        ),
        "messages": mess(
            user("Look."),
            said("assistant", [tool_use(1, "weather", {}), tool_use(2, "weather", {})]),
            user(result(1, [text("A chart."), IMAGE]), result(2, "No such city.", is_error=True)),
            tools=[WEATHER_TOOL],
        ),
        "responses": resp(
            user("Look."),
            function_call(1, "weather", "{}"),
            output(1, [text("A chart.", "input_text"), {"type": "input_image", "image_url": DATA}]),
            tools=[WEATHER_FLAT],
        ),
    },
    "tools_custom": {
        "chat": chat(
            user("Who pays?"),
            said(
                "assistant",
                None,
                tool_calls=[
                    {"id": "call_1", "type": "custom", "custom": {"name": "sql", "input": "SELECT a"}}
                ],
            ),
            said("tool", "Ada", tool_call_id="call_1"),
            tools=[
                {
                    "type": "custom",
                    "custom": {
                        "name": "sql",
                        "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": GRAMMAR}},
                    },
                },
                WEATHER,
            ],
            tool_choice={"type": "custom", "custom": {"name": "sql"}},
        ),
        "messages": mess(
            user("Who pays?"),
            said("assistant", [tool_use(1, "sql", {"input": "SELECT a"})]),
            user(result(1, "Ada")),
            tools=[
                {"name": "sql", "input_schema": {"type": "object"}},
                {"type": "bash_20250124", "name": "bash"},
            ],
        ),
        "responses": resp(
            user("Who pays?"),
            {"type": "custom_tool_call", "call_id": "call_1", "name": "sql", "input": "SELECT a"},
            {"type": "custom_tool_call_output", "call_id": "call_1", "output": "Ada"},
            tools=[
                {
                    "type": "custom",
                    "name": "sql",
                    "format": {"type": "grammar", "syntax": "lark", "definition": GRAMMAR},
                },
                WEATHER_FLAT,
            ],
            tool_choice={"type": "custom", "name": "sql"},
        ),
    },
    "arguments": every(
        {"tools": [WEATHER]},
        {"tools": [WEATHER_TOOL]},
        {"tools": [WEATHER_FLAT]},
    ),
}
