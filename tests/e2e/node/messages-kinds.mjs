// Anthropic's official client before each kind of target: streams, tools, images, counts, models and batches.
import assert from "node:assert/strict";
import test from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";

const client = new Anthropic({
  baseURL: process.env.INGOT_URL,
  apiKey: process.env.INGOT_KEY,
  maxRetries: 0,
  timeout: 60_000,
});
const KINDS = ["chat", "messages", "responses"];
const Pet = z.object({ kind: z.enum(["cat", "dog"]), tame: z.boolean() });
const asks = (model, content, more = {}) => ({
  model,
  max_tokens: 64,
  messages: [{ role: "user", content }],
  ...more,
});

for (const model of KINDS) {
  test(`${model}: the stream helper puts the same message together`, async () => {
    const whole = await client.messages.create(asks(model, "words: 6"));
    let said = "";
    const stream = client.messages.stream(asks(model, "words: 6")).on("text", (piece) => (said += piece));
    const folded = await stream.finalMessage();
    assert.deepEqual([folded.content[0].text, folded.stop_reason], [whole.content[0].text, whole.stop_reason]);
    assert.deepEqual([said, folded.usage.output_tokens], [whole.content[0].text, whole.usage.output_tokens]);
  });

  for (const stream of [false, true]) {
    test(`${model}: the tool runner calls, answers and finishes, stream ${stream}`, async () => {
      const called = [];
      const tool = betaZodTool({
        name: "weather",
        description: "The weather in a city.",
        inputSchema: z.object({ city: z.string() }),
        run: ({ city }) => (called.push(city), "rain"),
      });
      const asked = asks(model, 'call weather with {"city": "Oslo"} and call weather with {"city": "Rome"}');
      const last = await client.beta.messages.toolRunner({ ...asked, tools: [tool], stream }).runUntilDone();
      assert.equal(last.content[0].text, "The tool said: rain");
      assert.deepEqual(called, ["Oslo", "Rome"]);
    });
  }

  test(`${model}: an image, and a tool that shows one`, async () => {
    const source = { type: "base64", media_type: "image/png", data: process.env.INGOT_PNG };
    const answer = await client.messages.create(
      asks(model, [
        { type: "text", text: "echo: seen" },
        { type: "image", source },
      ]),
    );
    assert.equal(answer.content[0].text, "seen");
    const tools = [{ name: "look", input_schema: { type: "object", properties: {} } }];
    const asked = asks(model, "call look with {}", { tools });
    const first = await client.messages.create(asked);
    const content = [
      { type: "text", text: "a picture" },
      { type: "image", source },
    ];
    const results = [{ type: "tool_result", tool_use_id: first.content[0].id, content }];
    const turns = [
      ...asked.messages,
      { role: "assistant", content: first.content },
      { role: "user", content: results },
    ];
    const last = await client.messages.create({ ...asked, messages: turns });
    assert.equal(last.stop_reason, "end_turn");
  });

  test(`${model}: parse with zod`, async () => {
    const answer = await client.messages.parse(
      asks(model, "Which pet?", { output_config: { format: zodOutputFormat(Pet) } }),
    );
    assert.ok(Pet.safeParse(answer.parsed_output).success);
  });

  test(`${model}: it is counted and found among the models`, async () => {
    const { messages } = asks(model, "one two three");
    const counted = await client.messages.countTokens({ model, messages, system: "Be brief." });
    const less = await client.messages.countTokens({ model, messages });
    assert.ok(counted.input_tokens > less.input_tokens && less.input_tokens > 0);
    assert.equal((await client.models.retrieve(model)).id, model);
    const names = [];
    for await (const one of client.models.list({ limit: 2 })) names.push(one.id);
    assert.ok(names.includes(model));
  });

  test(`${model}: a batch is made, watched, read, listed and deleted`, async () => {
    const requests = ["one", "two", "three"].map((word) => ({ custom_id: word, params: asks(model, `echo: ${word}`) }));
    let batch = await client.messages.batches.create({ requests });
    assert.equal(batch.type, "message_batch");
    while (batch.processing_status !== "ended") {
      await pause(100);
      batch = await client.messages.batches.retrieve(batch.id);
    }
    assert.equal(batch.request_counts.succeeded, 3);
    const found = {};
    for await (const { custom_id, result } of await client.messages.batches.results(batch.id)) {
      found[custom_id] = result.message.content[0].text;
    }
    assert.deepEqual(found, { one: "one", two: "two", three: "three" });
    const listed = [];
    for await (const each of client.messages.batches.list({ limit: 1 })) listed.push(each.id);
    assert.ok(listed.includes(batch.id));
    assert.equal((await client.messages.batches.delete(batch.id)).type, "message_batch_deleted");
    await assert.rejects(client.messages.batches.retrieve(batch.id), Anthropic.NotFoundError);
  });
}

test("a batch is cancelled before it is done", async () => {
  const requests = [...Array(8).keys()].map((number) => ({
    custom_id: `r${number}`,
    params: asks("chat", `echo: ${number} {{delay 3}}`),
  }));
  let batch = await client.messages.batches.create({ requests });
  batch = await client.messages.batches.cancel(batch.id);
  assert.ok(["canceling", "ended"].includes(batch.processing_status));
  while (batch.processing_status !== "ended") {
    await pause(100);
    batch = await client.messages.batches.retrieve(batch.id);
  }
  const { succeeded, canceled, errored, expired, processing } = batch.request_counts;
  assert.deepEqual([succeeded + canceled, errored, expired, processing], [8, 0, 0, 0]);
});
