// The demo model through the same client. Its words are its own; what is asserted holds for any model.
import assert from "node:assert/strict";
import test from "node:test";

import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { client, collect, says, textOf } from "./client.mjs";

const model = "demo-tiny";
const messages = says("Hello! What is this server?");

test("a whole answer", async () => {
  const answer = await client.chat.completions.create({ model, messages });
  assert.ok(answer.choices[0].message.content.trim());
  assert.ok(answer.usage.completion_tokens > 0);
});

test("a stream", async () => {
  const chunks = await collect(
    client.chat.completions.create({
      model,
      messages,
      stream: true,
      stream_options: { include_usage: true },
    }),
  );
  assert.equal(chunks[0].choices[0].delta.role, "assistant");
  assert.ok(textOf(chunks).trim());
  assert.equal(chunks.filter((chunk) => chunk.choices[0]?.finish_reason).length, 1);
  assert.ok(chunks.at(-1).usage.completion_tokens > 0);
});

test("a schema", async () => {
  const Pet = z.object({ kind: z.enum(["cat", "dog"]), tame: z.boolean() });
  const answer = await client.chat.completions.parse({
    model,
    messages: says("Rex is a tame dog."),
    response_format: zodResponseFormat(Pet, "pet"),
  });
  Pet.parse(answer.choices[0].message.parsed);
});

test("a tool", async () => {
  const answer = await client.chat.completions.create({
    model,
    messages: says("What is the weather in Paris?"),
    tools: [
      {
        type: "function",
        function: {
          name: "get_weather",
          parameters: { type: "object", properties: { city: { type: "string", maxLength: 12 } }, required: ["city"] },
        },
      },
    ],
    tool_choice: "required",
    parallel_tool_calls: false, // a small model may go on calling for ever
  });
  const [call] = answer.choices[0].message.tool_calls;
  assert.equal(call.function.name, "get_weather");
  assert.equal(typeof JSON.parse(call.function.arguments).city, "string");
});
