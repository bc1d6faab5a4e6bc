// Tools and structured answers.
import assert from "node:assert/strict";
import test from "node:test";

import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { NAMES, client, collect, says } from "./client.mjs";

const Person = z.object({ name: z.string(), age: z.number().int(), mood: z.enum(["glad", "grim"]) });

const weather = {
  type: "function",
  function: {
    name: "weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

const calls = (message) => message.tool_calls.map((call) => [call.function.name, call.function.arguments]);

for (const model of NAMES) {
  test(`${model}: two calls at once`, async () => {
    const answer = await client.chat.completions.create({
      model,
      messages: says('call weather with {"city": "Oslo"} and call weather with {"city": "Rome"}'),
      tools: [weather],
    });
    assert.equal(answer.choices[0].finish_reason, "tool_calls");
    assert.deepEqual(calls(answer.choices[0].message), [
      ["weather", '{"city": "Oslo"}'],
      ["weather", '{"city": "Rome"}'],
    ]);
  });

  test(`${model}: parse with zod`, async () => {
    const answer = await client.chat.completions.parse({
      model,
      messages: says("Describe somebody."),
      response_format: zodResponseFormat(Person, "person"),
    });
    const { parsed } = answer.choices[0].message;
    assert.deepEqual([parsed.name, parsed.mood], ["text", "glad"]);
    Person.parse(parsed);
  });
}

test("a call in fragments", async () => {
  const chunks = await collect(
    client.chat.completions.create({
      model: "mock",
      messages: says('call weather with {"city": "Oslo", "days": 3}'),
      tools: [weather],
      stream: true,
    }),
  );
  const [first, ...rest] = chunks.flatMap((chunk) => chunk.choices[0].delta.tool_calls ?? []);
  assert.ok(first.id);
  assert.equal(first.type, "function");
  assert.deepEqual(first.function, { name: "weather", arguments: "" });
  assert.ok(rest.length > 1);
  assert.ok(rest.every((piece) => piece.index === 0 && piece.id === undefined));
  assert.equal(rest.map((piece) => piece.function.arguments).join(""), '{"city": "Oslo", "days": 3}');
  assert.equal(chunks.at(-1).choices[0].finish_reason, "tool_calls");
});

test("tool_choice in its forms", async () => {
  const ask = (tool_choice, content = "What is the weather?") =>
    client.chat.completions.create({ model: "mock", messages: says(content), tools: [weather], tool_choice });
  const none = await ask("none", 'call weather with {"city": "Oslo"}');
  assert.equal(none.choices[0].message.tool_calls, undefined);
  for (const choice of ["required", { type: "function", function: { name: "weather" } }]) {
    const answer = await ask(choice);
    assert.equal(answer.choices[0].message.tool_calls[0].function.name, "weather");
  }
});

test("arguments parsed with zod", async () => {
  const answer = await client.chat.completions.parse({
    model: "mock",
    messages: says('call person with {"name": "Ada", "age": 36, "mood": "glad"}'),
    tools: [zodFunction({ name: "person", parameters: Person })],
  });
  const [call] = answer.choices[0].message.tool_calls;
  assert.deepEqual(call.function.parsed_arguments, { name: "Ada", age: 36, mood: "glad" });
});

test("the tool runner calls, answers and finishes", async () => {
  const asked = [];
  const runner = client.chat.completions.runTools({
    model: "mock",
    messages: says('call weather with {"city": "Oslo"}'),
    tools: [
      {
        type: "function",
        function: {
          name: "weather",
          description: "The weather in a city.",
          parameters: weather.function.parameters,
          parse: JSON.parse,
          function: ({ city }) => {
            asked.push(city);
            return "rain";
          },
        },
      },
    ],
  });
  assert.equal(await runner.finalContent(), "The tool said: rain");
  assert.deepEqual(asked, ["Oslo"]);
});

test("a raw JSON schema, and any JSON", async () => {
  const schema = { type: "object", properties: { ok: { type: "boolean" } }, required: ["ok"] };
  const strict = await client.chat.completions.create({
    model: "mock",
    messages: says("Is it?"),
    response_format: { type: "json_schema", json_schema: { name: "verdict", schema, strict: true } },
  });
  assert.deepEqual(JSON.parse(strict.choices[0].message.content), { ok: true });
  const free = await client.chat.completions.create({
    model: "mock",
    messages: says("echo: hi"),
    response_format: { type: "json_object" },
  });
  assert.deepEqual(JSON.parse(free.choices[0].message.content), { answer: "hi" });
});
