// Messages with the newest official client of Anthropic, before a target that speaks them.
import assert from "node:assert/strict";
import test from "node:test";

import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";

const baseURL = process.env.INGOT_URL;
const apiKey = process.env.INGOT_KEY;
const client = new Anthropic({ baseURL, apiKey, maxRetries: 0, timeout: 60_000 });
const NAMES = ["claude", "org/renamed"]; // relayed verbatim, and patched
const says = (content) => [{ role: "user", content }];
const asks = (content, more = {}) => ({ model: "claude", max_tokens: 64, messages: says(content), ...more });

const weather = {
  name: "weather",
  description: "The weather in a city.",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

for (const model of NAMES) {
  test(`${model}: a whole message`, async () => {
    const answer = await client.messages.create(asks("echo: Hello there", { model }));
    assert.deepEqual([answer.type, answer.role, answer.model], ["message", "assistant", model]);
    assert.deepEqual([answer.content[0].type, answer.content[0].text], ["text", "Hello there"]);
    assert.deepEqual([answer.stop_reason, answer.usage.output_tokens], ["end_turn", 2]);
    assert.match(answer._request_id, /^req_/);
  });

  test(`${model}: the stream helper puts the same message together`, async () => {
    const asked = asks("think: this and that", { model });
    const whole = await client.messages.create(asked);
    const seen = { text: "", thinking: "" };
    const stream = client.messages
      .stream(asked)
      .on("text", (piece) => (seen.text += piece))
      .on("thinking", (piece) => (seen.thinking += piece));
    const folded = await stream.finalMessage();
    assert.deepEqual(folded.content, whole.content);
    assert.ok(folded.content[0].signature);
    assert.deepEqual([seen.thinking, seen.text], [whole.content[0].thinking, whole.content[1].text]);
    assert.deepEqual([folded.id, folded.model, folded.usage], [whole.id, model, whole.usage]);
  });
}

test("a plain stream has the events of the contract", async () => {
  const kinds = [];
  for await (const event of await client.messages.create(asks("words: 3", { stream: true }))) kinds.push(event.type);
  assert.deepEqual(kinds.slice(0, 2), ["message_start", "content_block_start"]);
  assert.deepEqual(kinds.slice(-3), ["content_block_stop", "message_delta", "message_stop"]);
});

test("a stream that is left early ends quietly", async () => {
  const stream = client.messages.stream(asks("words: 500 {{gap 0.01}}", { max_tokens: 600 }));
  for await (const event of stream) if (event.type === "content_block_delta") break;
  const next = await client.messages.create(asks("echo: next"));
  assert.equal(next.content[0].text, "next");
});

test("two calls at once, out of a stream, and their results", async () => {
  const asked = says('call weather with {"city": "Bern"} and call weather with {"city": "Rome"}');
  const told = { model: "claude", max_tokens: 64, messages: asked, tools: [weather] };
  const first = await client.messages.stream(told).finalMessage();
  assert.equal(first.stop_reason, "tool_use");
  assert.deepEqual(
    first.content.map((block) => [block.type, block.name, block.input]),
    [
      ["tool_use", "weather", { city: "Bern" }],
      ["tool_use", "weather", { city: "Rome" }],
    ],
  );
  const results = first.content.map((call) => ({ type: "tool_result", tool_use_id: call.id, content: "rain" }));
  const turns = [...asked, { role: "assistant", content: first.content }, ...says(results)];
  const last = await client.messages.create({ ...told, messages: turns });
  assert.equal(last.content[0].text, "The tool said: rain");
});

test("tool_choice in its forms", async () => {
  const ask = (tool_choice, content = "What is the weather?") =>
    client.messages.create(asks(content, { tools: [weather], tool_choice }));
  for (const choice of [{ type: "any" }, { type: "tool", name: "weather" }]) {
    const [call] = (await ask(choice)).content;
    assert.deepEqual([call.type, call.name], ["tool_use", "weather"]);
  }
  const none = await ask({ type: "none" }, 'call weather with {"city": "Bern"}');
  assert.equal(none.content[0].type, "text");
});

for (const stream of [false, true]) {
  test(`the tool runner calls, answers and finishes, stream ${stream}`, async () => {
    const called = [];
    const tool = betaZodTool({
      name: "weather",
      description: "The weather in a city.",
      inputSchema: z.object({ city: z.string() }),
      run: ({ city }) => {
        called.push(city);
        return "rain";
      },
    });
    const runner = client.beta.messages.toolRunner(
      asks('call weather with {"city": "Bern"}', { tools: [tool], stream }),
    );
    const last = await runner.runUntilDone();
    assert.equal(last.content[0].text, "The tool said: rain");
    assert.deepEqual(called, ["Bern"]);
  });
}

test("a thread that the server shall keep is refused by its code", async () => {
  const thread = client.beta.messages.thread({ model: "claude", max_tokens: 64 });
  await assert.rejects(thread.send({ role: "user", content: "echo: hi" }), (error) => {
    assert.ok(error instanceof Anthropic.BadRequestError);
    assert.equal(error.error.error.details.error_code, "thread_unsupported_request");
    return true;
  });
  const lone = client.beta.messages.thread({
    model: "claude",
    max_tokens: 64,
    unsupportedRequestBehavior: "continue_unthreaded",
  });
  assert.equal((await lone.send({ role: "user", content: "echo: hi" })).content[0].text, "hi");
});

test("parse with zod, whole and streamed", async () => {
  const Pet = z.object({ kind: z.enum(["cat", "dog"]), name: z.string() });
  const asked = asks("Which pet?", { output_config: { format: zodOutputFormat(Pet) } });
  const answer = await client.messages.parse(asked);
  assert.deepEqual(answer.parsed_output, { kind: "cat", name: "text" });
  const streamed = await client.messages.stream(asked).finalMessage();
  assert.deepEqual(streamed.parsed_output, answer.parsed_output);
});

test("an image, in its own block and in a tool's result", async () => {
  const data = process.env.INGOT_PNG;
  const image = { type: "image", source: { type: "base64", media_type: "image/png", data } };
  const shown = await client.messages.create(asks([{ type: "text", text: "echo: seen" }, image]));
  assert.equal(shown.content[0].text, "seen");
  const broken = { ...image, source: { ...image.source, data: "AAAA" } };
  await assert.rejects(client.messages.create(asks([broken])), Anthropic.BadRequestError);
});

test("tokens are counted as they are used", async () => {
  const messages = says("one two three");
  const counted = await client.messages.countTokens({ model: "claude", messages, system: "Be brief." });
  const { usage } = await client.messages.create(asks("one two three", { system: "Be brief." }));
  assert.equal(counted.input_tokens, usage.input_tokens);
});

test("models, page after page in both directions, and one alone", async () => {
  const names = [];
  for await (const model of client.models.list({ limit: 2 })) names.push(model.id);
  assert.deepEqual(names, ["claude", "fixed", "quirky", "gpt", "org/renamed"]);
  const page = await client.models.list({ limit: 2 });
  assert.deepEqual([page.data.length, page.has_more, page.last_id], [2, true, "fixed"]);
  const next = await page.getNextPage();
  assert.deepEqual(
    next.data.map((model) => model.id),
    ["quirky", "gpt"],
  );
  const back = await client.models.list({ before_id: "quirky", limit: 1 });
  assert.equal(back.data[0].id, "fixed");
  const one = await client.models.retrieve("org/renamed");
  assert.deepEqual([one.id, one.type], ["org/renamed", "model"]);
  await assert.rejects(client.models.retrieve("nobody"), Anthropic.NotFoundError);
});

async function caught(promise, kind) {
  let error;
  await assert.rejects(promise, (reason) => {
    error = reason;
    return true;
  });
  assert.ok(error instanceof kind, `${kind.name} was expected, not ${error}`);
  return error;
}

test("errors are of the class that their status has", async () => {
  const lost = await caught(client.messages.create(asks("hi", { model: "nobody" })), Anthropic.NotFoundError);
  assert.equal(lost.error.error.type, "not_found_error");
  assert.equal(lost.requestID, lost.error.request_id);
  const wrong = await caught(client.messages.create(asks("hi", { temperature: 1 })), Anthropic.BadRequestError);
  assert.match(wrong.message, /temperature: Extra inputs are not permitted/);
  const stranger = client.withOptions({ apiKey: "ik_wrong" });
  await caught(stranger.messages.create(asks("hi")), Anthropic.AuthenticationError);
  await caught(client.messages.create(asks("{{fail 429}} hi")), Anthropic.RateLimitError);
  await caught(client.messages.create(asks("{{fail 500}} hi")), Anthropic.InternalServerError);
});

test("a stream that breaks raises, and gives what came", async () => {
  const pieces = [];
  const stream = client.messages.stream(asks("words: 9 {{error-at 6}}")).on("text", (piece) => pieces.push(piece));
  const broken = await caught(stream.finalMessage(), Anthropic.APIError);
  assert.match(broken.message, /The upstream reported an error/);
  assert.ok(pieces.length > 0);
});

test("both ways to send the key, and the raw response", async () => {
  const bearer = new Anthropic({ baseURL, apiKey: null, authToken: apiKey, maxRetries: 0 });
  const { response, request_id } = await bearer.messages.create(asks("echo: in")).withResponse();
  assert.equal(response.headers.get("request-id"), request_id);
  assert.equal((await response.headers.get("content-type")).split(";")[0], "application/json");
});
