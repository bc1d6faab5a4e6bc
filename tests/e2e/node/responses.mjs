// Responses with the official client, stored and gone on from, before a target that speaks chat.
import assert from "node:assert/strict";
import test from "node:test";

import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

import { NAMES, client, collect } from "./client.mjs";

const weather = {
  type: "function",
  name: "weather",
  parameters: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: false,
  },
  strict: true,
};

for (const model of NAMES) {
  test(`${model}: a whole response, read again and deleted`, async () => {
    const told = await client.responses.create({ model, input: "echo: Hello there" });
    assert.deepEqual([told.object, told.status, told.model], ["response", "completed", model]);
    assert.equal(told.output_text, "Hello there");
    assert.equal(told.usage.output_tokens, 2);
    const again = await client.responses.retrieve(told.id);
    assert.equal(again.output_text, told.output_text);
    await client.responses.delete(told.id);
    await assert.rejects(client.responses.retrieve(told.id), OpenAI.NotFoundError);
  });

  test(`${model}: a stream in order, and the helper`, async () => {
    const events = await collect(client.responses.create({ model, input: "words: 6", stream: true }));
    assert.deepEqual(
      events.map((event) => event.sequence_number),
      [...events.keys()],
    );
    assert.deepEqual([events[0].type, events.at(-1).type], ["response.created", "response.completed"]);
    const text = events
      .filter((event) => event.type === "response.output_text.delta")
      .map((event) => event.delta)
      .join("");
    assert.equal(text.split(" ").length, 6);
    const stream = client.responses.stream({ model, input: "words: 6" });
    let said = "";
    stream.on("response.output_text.delta", (event) => (said += event.delta));
    assert.equal((await stream.finalResponse()).output_text, text);
    assert.equal(said, text);
  });
}

test("a stored stream is resumed behind a number", async () => {
  const told = await client.responses.create({ model: "mock", input: "words: 6" });
  const every = await collect(client.responses.retrieve(told.id, { stream: true }));
  const rest = await collect(client.responses.retrieve(told.id, { stream: true, starting_after: 3 }));
  assert.deepEqual(rest, every.slice(4));
  const stream = client.responses.stream({ response_id: told.id, starting_after: 3 });
  assert.equal((await collect(stream))[0].sequence_number, 4);
});

test("an earlier response is gone on from, and its items are listed page by page", async () => {
  const first = await client.responses.create({ model: "mock", input: "echo: one" });
  const second = await client.responses.create({ model: "mock", input: "echo: two", previous_response_id: first.id });
  assert.deepEqual([second.output_text, second.previous_response_id], ["two", first.id]);
  const items = await collect(client.responses.inputItems.list(second.id, { order: "asc", limit: 1 }));
  assert.deepEqual(
    items.map((item) => item.content[0].text),
    ["echo: one", "one", "echo: two"],
  );
});

test("a conversation that responses go on in, its items page by page, relabelled and deleted", async () => {
  const made = await client.conversations.create({
    metadata: { topic: "demo" },
    items: [{ type: "message", role: "user", content: "echo: zero" }],
  });
  assert.deepEqual([made.object, made.metadata], ["conversation", { topic: "demo" }]);
  const asked = { model: "mock", conversation: made.id };
  const first = await client.responses.create({ ...asked, input: "echo: one" });
  assert.deepEqual([first.output_text, first.conversation.id], ["one", made.id]);
  const second = await client.responses.stream({ ...asked, input: "echo: two" }).finalResponse();
  assert.equal(second.output_text, "two");
  const items = await collect(client.conversations.items.list(made.id, { order: "asc", limit: 2 }));
  assert.deepEqual(
    items.map((item) => item.content[0].text),
    ["echo: zero", "echo: one", "one", "echo: two", "two"],
  );
  const again = await client.conversations.items.retrieve(items[1].id, { conversation_id: made.id });
  assert.equal(again.content[0].text, "echo: one");
  await client.conversations.items.delete(items[0].id, { conversation_id: made.id });
  const added = await client.conversations.items.create(made.id, {
    items: [{ type: "message", role: "user", content: "echo: three" }],
  });
  assert.equal(added.data[0].content[0].text, "echo: three");
  assert.equal((await collect(client.conversations.items.list(made.id))).length, 5);
  const renamed = await client.conversations.update(made.id, { metadata: { topic: "other" } });
  assert.equal(renamed.metadata.topic, "other");
  assert.equal((await client.conversations.delete(made.id)).deleted, true);
  await assert.rejects(client.conversations.retrieve(made.id), OpenAI.NotFoundError);
  await assert.rejects(client.responses.create({ ...asked, input: "echo: four" }), OpenAI.NotFoundError);
});

test("tokens are counted before a response, with what came before it", async () => {
  const first = await client.responses.create({ model: "mock", input: "echo: one two three" });
  const alone = await client.responses.inputTokens.count({ model: "mock", input: "hi" });
  assert.equal(alone.object, "response.input_tokens");
  const behind = await client.responses.inputTokens.count({ model: "mock", input: "hi", previous_response_id: first.id });
  assert.ok(behind.input_tokens > alone.input_tokens);
});

test("two calls at once, and their results on top of the response", async () => {
  const first = await client.responses.create({
    model: "mock",
    input: 'call weather with {"city": "Oslo"} and call weather with {"city": "Rome"}',
    tools: [weather],
  });
  assert.deepEqual(
    first.output.map((call) => [call.type, call.name, call.arguments]),
    [
      ["function_call", "weather", '{"city": "Oslo"}'],
      ["function_call", "weather", '{"city": "Rome"}'],
    ],
  );
  const last = await client.responses.create({
    model: "mock",
    previous_response_id: first.id,
    tools: [weather],
    input: first.output.map((call) => ({ type: "function_call_output", call_id: call.call_id, output: "rain" })),
  });
  assert.equal(last.output_text, "The tool said: rain");
});

test("parse with zod, whole and streamed", async () => {
  const Pet = z.object({ kind: z.enum(["cat", "dog"]), name: z.string() });
  const asked = { model: "mock", input: "Which pet?", text: { format: zodTextFormat(Pet, "pet") } };
  const told = await client.responses.parse(asked);
  assert.deepEqual(told.output_parsed, { kind: "cat", name: "text" });
  const streamed = await client.responses.stream(asked).finalResponse();
  assert.deepEqual(streamed.output_parsed, told.output_parsed);
});

test("an image", async () => {
  const content = [
    { type: "input_text", text: "echo: seen" },
    { type: "input_image", image_url: `data:image/png;base64,${process.env.INGOT_PNG}`, detail: "auto" },
  ];
  const told = await client.responses.create({ model: "mock", input: [{ role: "user", content }] });
  assert.equal(told.output_text, "seen");
});

test("errors name the field", async () => {
  await assert.rejects(client.responses.create({ model: "mock", input: "hi", temperature: 3 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "temperature");
    return true;
  });
  const lost = { model: "mock", input: "hi", previous_response_id: "resp_unknown" };
  await assert.rejects(client.responses.create(lost), (error) => {
    assert.equal(error.code, "previous_response_not_found");
    return true;
  });
  await assert.rejects(client.responses.retrieve("resp_unknown"), OpenAI.NotFoundError);
});
