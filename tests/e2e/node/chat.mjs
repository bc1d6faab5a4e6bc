// Chat, whole and streamed.
import assert from "node:assert/strict";
import test from "node:test";

import { NAMES, client, collect, says, textOf } from "./client.mjs";

for (const model of NAMES) {
  test(`${model}: a whole answer`, async () => {
    const answer = await client.chat.completions.create({ model, messages: says("echo: Hello there") });
    assert.equal(answer.model, model);
    assert.equal(answer.object, "chat.completion");
    assert.equal(answer.choices[0].message.content, "Hello there");
    assert.equal(answer.choices[0].finish_reason, "stop");
    assert.equal(answer.usage.completion_tokens, 2);
  });

  for (const counted of [true, false]) {
    test(`${model}: a stream in the contract's order, usage ${counted}`, async () => {
      const options = counted ? { stream_options: { include_usage: true } } : {};
      const chunks = await collect(
        client.chat.completions.create({ model, messages: says("words: 30"), stream: true, ...options }),
      );
      const talk = counted ? chunks.slice(0, -1) : chunks;
      assert.equal(new Set(chunks.map((chunk) => `${chunk.id} ${chunk.created} ${chunk.model}`)).size, 1);
      assert.equal(chunks[0].model, model);
      assert.equal(chunks[0].choices[0].delta.role, "assistant");
      assert.equal(textOf(talk).split(" ").length, 30);
      assert.deepEqual(
        talk.map((chunk) => chunk.choices[0].finish_reason),
        [...Array(talk.length - 1).fill(null), "stop"],
      );
      for (const chunk of talk) assert.equal(chunk.usage, counted ? null : undefined);
      if (counted) {
        assert.deepEqual(chunks.at(-1).choices, []);
        assert.equal(chunks.at(-1).usage.completion_tokens, 30);
      }
    });
  }
}

test("two choices, whole and streamed", async () => {
  const asked = { model: "mock", messages: says("words: 5"), n: 2 };
  const whole = await client.chat.completions.create(asked);
  const chunks = await collect(client.chat.completions.create({ ...asked, stream: true }));
  const texts = whole.choices.map((choice) => choice.message.content);
  assert.notEqual(texts[0], texts[1]);
  assert.deepEqual([textOf(chunks, 0), textOf(chunks, 1)], texts);
  assert.equal(whole.usage.completion_tokens, 10);
});

test("logprobs with alternatives", async () => {
  const asked = { model: "mock", messages: says("echo: one two"), logprobs: true, top_logprobs: 3 };
  const { content } = (await client.chat.completions.create(asked)).choices[0].logprobs;
  assert.deepEqual(
    content.map((item) => item.token),
    ["one", " two"],
  );
  for (const item of content) assert.equal(item.top_logprobs.length, 3);
  const chunks = await collect(client.chat.completions.create({ ...asked, stream: true }));
  const streamed = chunks.flatMap((chunk) => chunk.choices[0].logprobs?.content ?? []);
  assert.deepEqual(streamed, content);
});

test("the stream helper puts the answer together", async () => {
  const runner = client.chat.completions.stream({
    model: "mock",
    messages: says("words: 6"),
    stream_options: { include_usage: true },
  });
  let said = "";
  runner.on("content", (delta) => (said += delta));
  const final = await runner.finalChatCompletion();
  assert.equal(said.split(" ").length, 6);
  assert.equal(final.choices[0].message.content, said);
  assert.equal((await runner.totalUsage()).completion_tokens, 6);
});

test("a stream that is left early ends quietly", async () => {
  const stream = await client.chat.completions.create({
    model: "mock",
    messages: says("words: 500 {{gap 0.01}}"),
    stream: true,
  });
  for await (const chunk of stream) {
    if (chunk.choices[0].delta.content) break;
  }
  const next = await client.chat.completions.create({ model: "mock", messages: says("echo: next") });
  assert.equal(next.choices[0].message.content, "next");
});
