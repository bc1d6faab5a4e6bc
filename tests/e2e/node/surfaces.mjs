// Embeddings, legacy completions, models, headers and credentials.
import assert from "node:assert/strict";
import test from "node:test";

import { NAMES, apiKey, client, collect, says } from "./client.mjs";

for (const model of NAMES) {
  test(`${model}: embeddings as floats and as the client's own base64`, async () => {
    const input = ["first", "second"];
    const packed = await client.embeddings.create({ model, input });
    const plain = await client.embeddings.create({ model, input, encoding_format: "float" });
    assert.equal(packed.model, model);
    assert.equal(plain.data.length, 2);
    assert.deepEqual(
      packed.data.map((item) => [...item.embedding]),
      plain.data.map((item) => item.embedding),
    );
    const length = Math.hypot(...plain.data[0].embedding);
    assert.ok(Math.abs(length - 1) < 1e-3);
  });

  test(`${model}: legacy completions, whole and streamed`, async () => {
    const asked = { model, prompt: "words: 5", max_tokens: 16 };
    const whole = await client.completions.create(asked);
    const chunks = await collect(client.completions.create({ ...asked, stream: true }));
    assert.equal(whole.object, "text_completion");
    assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(""), whole.choices[0].text);
    assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
  });

  test(`${model}: listed and retrieved`, async () => {
    const listed = await collect(client.models.list());
    const found = await client.models.retrieve(model);
    assert.equal(found.object, "model");
    assert.deepEqual(
      { ...found },
      listed.find((one) => one.id === model),
    );
  });
}

test("base64 that is asked for stays base64", async () => {
  const answer = await client.embeddings.create({ model: "mock", input: "x", encoding_format: "base64" });
  assert.equal(typeof answer.data[0].embedding, "string");
});

test("the request id goes in and comes out", async () => {
  const asked = { model: "mock", messages: says("echo: hi") };
  const headers = { "x-request-id": "my-own.id-9" };
  const { data, response, request_id } = await client.chat.completions.create(asked, { headers }).withResponse();
  assert.equal(response.headers.get("x-request-id"), "my-own.id-9");
  assert.equal(request_id, "my-own.id-9");
  assert.equal(data._request_id, "my-own.id-9");
  const raw = await client.chat.completions.create(asked).asResponse();
  assert.match(raw.headers.get("x-request-id"), /^req_/);
  assert.equal((await raw.json()).choices[0].message.content, "hi");
});

test("a key in x-api-key", async () => {
  const headers = { Authorization: null, "x-api-key": apiKey };
  const answer = await client.chat.completions.create({ model: "mock", messages: says("echo: in") }, { headers });
  assert.equal(answer.choices[0].message.content, "in");
});
