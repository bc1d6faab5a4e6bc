// The classes that the client makes of our errors.
import assert from "node:assert/strict";
import test from "node:test";

import OpenAI from "openai";

import { NAMES, baseURL, client, says } from "./client.mjs";

const ask = (content, more = {}, options = {}) =>
  client.chat.completions.create({ model: "mock", messages: says(content), ...more }, options);

async function caught(promise, kind) {
  let error;
  await assert.rejects(promise, (reason) => {
    error = reason;
    return true;
  });
  assert.ok(error instanceof kind, `${kind.name} was expected, not ${error}`);
  return error;
}

test("a wrong key", async () => {
  const stranger = new OpenAI({ baseURL, apiKey: "sk-wrong-0123456789", maxRetries: 0 });
  const error = await caught(stranger.models.list(), OpenAI.AuthenticationError);
  assert.equal(error.code, "invalid_api_key");
  assert.ok(!error.message.includes("0123456789"));
});

test("an unknown model, an unknown route", async () => {
  const error = await caught(ask("hi", { model: "gpt-unheard-of" }), OpenAI.NotFoundError);
  assert.deepEqual([error.param, error.code, error.type], ["model", "model_not_found", "invalid_request_error"]);
  assert.ok(error.requestID);
  assert.equal((await caught(client.get("/nothing/here"), OpenAI.NotFoundError)).code, "unknown_url");
});

for (const [field, wrong, param] of [
  ["temperature", 3, "temperature"],
  ["messages", [{ role: "user" }], "messages[0].content"],
  ["stream_options", { include_usage: true }, "stream_options"],
]) {
  test(`a wrong ${field}`, async () => {
    const error = await caught(ask("hi", { [field]: wrong }), OpenAI.BadRequestError);
    assert.equal(error.param, param);
    assert.ok(error.code);
  });
}

test("an upstream that fails", async () => {
  const error = await caught(ask("{{fail 500}}", { model: "failing" }), OpenAI.InternalServerError);
  assert.deepEqual([error.status, error.type], [502, "server_error"]);
});

test("a rate limit, told and obeyed", async () => {
  const error = await caught(ask("{{fail 429 retry-after=1}}", { model: "limited" }), OpenAI.RateLimitError);
  assert.equal(error.headers.get("retry-after"), "1");
  assert.equal(error.code, "rate_limit_exceeded");
  const prompt = "echo: node is patient {{fail 429 retry-after=1 times=1}}";
  const answer = await ask(prompt, { model: "limited-too" }, { maxRetries: 2 });
  assert.equal(answer.choices[0].message.content, "node is patient");
});

for (const model of NAMES) {
  test(`${model}: a stream that breaks`, async () => {
    for (const script of ["error-at 3", "cut 3"]) {
      const chunks = [];
      const error = await caught(
        (async () => {
          for await (const chunk of await ask(`words: 9 {{${script}}}`, { model, stream: true })) chunks.push(chunk);
        })(),
        OpenAI.APIError,
      );
      assert.equal(chunks.length, 3);
      assert.deepEqual([error.type, error.code], ["server_error", "upstream_error"]);
    }
  });
}

test("a client without patience", async () => {
  await caught(ask("{{silent}}", {}, { timeout: 500 }), OpenAI.APIConnectionTimeoutError);
});
