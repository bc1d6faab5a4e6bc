// A request that alone asks for more than a minute holds: the client gives up at once, as no wait would help.
import assert from "node:assert/strict";
import test from "node:test";

import OpenAI, { RateLimitError } from "openai";

let calls = 0;
const counting = (...given) => {
  calls += 1;
  return fetch(...given);
};
const client = new OpenAI({ baseURL: process.env.INGOT_URL, apiKey: process.env.INGOT_KEY, fetch: counting });

for (const stream of [false, true]) {
  test(`tokens beyond the limit, stream ${stream}`, async () => {
    calls = 0;
    const asked = { model: "mock", messages: [{ role: "user", content: "hi" }], max_tokens: 50_000, stream };
    await assert.rejects(client.chat.completions.create(asked), (error) => {
      assert.ok(error instanceof RateLimitError);
      assert.match(error.message, /40,000 tokens a minute.*max_tokens/);
      return true;
    });
    assert.equal(calls, 1);
  });
}
