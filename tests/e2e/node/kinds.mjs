// OpenAI's official client before each kind of target: what it keeps, goes on from, streams again, parses and counts.
import assert from "node:assert/strict";
import test from "node:test";

import OpenAI from "openai";
import { zodFunction, zodResponsesFunction, zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

import { client, collect, says } from "./client.mjs";

const KINDS = ["chat", "messages", "responses"];
const Pet = z.object({ kind: z.enum(["cat", "dog"]), tame: z.boolean() });
const City = z.object({ city: z.string() });
const picture = `data:image/png;base64,${process.env.INGOT_PNG}`;
const numbers = (events) => events.map((event) => event.sequence_number);
const textOf = (events) =>
  events
    .filter((event) => event.type === "response.output_text.delta")
    .map((event) => event.delta)
    .join("");

for (const model of KINDS) {
  test(`${model}: a conversation is made, gone on in, listed, changed and deleted`, async () => {
    const said = [...says("echo: zero"), { role: "assistant", content: "zero" }];
    const made = await client.conversations.create({ items: said });
    const asked = { model, conversation: made.id };
    const first = await client.responses.create({ ...asked, input: "echo: one" });
    assert.deepEqual([first.output_text, first.conversation.id], ["one", made.id]);
    assert.equal((await client.responses.stream({ ...asked, input: "echo: two" }).finalResponse()).output_text, "two");
    const items = await collect(client.conversations.items.list(made.id, { order: "asc", limit: 2 }));
    assert.deepEqual(
      items.map((item) => item.content[0].text),
      ["echo: zero", "zero", "echo: one", "one", "echo: two", "two"],
    );
    await client.conversations.items.delete(items[0].id, { conversation_id: made.id });
    await client.conversations.items.create(made.id, { items: says("echo: three") });
    assert.equal((await collect(client.conversations.items.list(made.id))).length, 6);
    assert.equal((await client.conversations.delete(made.id)).deleted, true);
    await assert.rejects(client.conversations.retrieve(made.id), OpenAI.NotFoundError);
  });

  test(`${model}: an earlier response is gone on from`, async () => {
    const first = await client.responses.create({ model, input: "echo: one" });
    const second = await client.responses.create({ model, input: "echo: two", previous_response_id: first.id });
    assert.deepEqual([second.output_text, second.previous_response_id], ["two", first.id]);
    const items = await collect(client.responses.inputItems.list(second.id, { order: "asc" }));
    assert.deepEqual(
      items.map((item) => item.content[0].text),
      ["echo: one", "one", "echo: two"],
    );
  });

  test(`${model}: a stream in the background is left, and resumed behind the event that came last`, async () => {
    const asked = { model, input: "words: 40 {{gap 0.02}}", background: true, stream: true };
    const before = [];
    for await (const event of await client.responses.create(asked)) {
      before.push(event);
      if (event.type === "response.output_text.delta") break;
    }
    const { id } = before[0].response;
    const last = before.at(-1).sequence_number;
    const rest = await collect(client.responses.retrieve(id, { stream: true, starting_after: last }));
    const every = [...before, ...rest];
    assert.deepEqual(numbers(every), [...every.keys()]);
    assert.equal(rest.at(-1).type, "response.completed");
    assert.equal(textOf(every).split(" ").length, 40);
    const again = await collect(client.responses.stream({ response_id: id, starting_after: last }));
    assert.deepEqual(numbers(again), numbers(rest));
    const kept = await client.responses.retrieve(id);
    assert.deepEqual([kept.status, kept.background, kept.output_text], ["completed", true, textOf(every)]);
  });

  test(`${model}: the helpers of streams put the whole together`, async () => {
    const stream = client.responses.stream({ model, input: "words: 6" });
    let said = "";
    stream.on("response.output_text.delta", (event) => (said += event.delta));
    assert.equal((await stream.finalResponse()).output_text, said);
    assert.equal(said.split(" ").length, 6);
    const chat = client.chat.completions.stream({ model, messages: says("words: 6") });
    assert.equal(await chat.finalContent(), said);
  });

  test(`${model}: parse with zod, on both surfaces, whole and streamed`, async () => {
    const asked = { model, input: "Which pet?", text: { format: zodTextFormat(Pet, "pet") } };
    const told = await client.responses.parse(asked);
    assert.ok(Pet.safeParse(told.output_parsed).success);
    assert.deepEqual((await client.responses.stream(asked).finalResponse()).output_parsed, told.output_parsed);
    const chat = { model, messages: says("Which pet?"), response_format: zodResponseFormat(Pet, "pet") };
    assert.deepEqual((await client.chat.completions.parse(chat)).choices[0].message.parsed, told.output_parsed);
  });

  test(`${model}: tools of zod are called, on both surfaces, and the loop ends with an answer`, async () => {
    const input = 'call weather with {"city": "Oslo"} and call weather with {"city": "Rome"}';
    const tools = [zodResponsesFunction({ name: "weather", parameters: City })];
    const first = await client.responses.parse({ model, input, tools });
    assert.deepEqual(
      first.output.map((call) => call.parsed_arguments),
      [{ city: "Oslo" }, { city: "Rome" }],
    );
    const results = first.output.map(({ call_id }) => ({ type: "function_call_output", call_id, output: "rain" }));
    const last = await client.responses.create({ model, tools, previous_response_id: first.id, input: results });
    assert.equal(last.output_text, "The tool said: rain");
    await assert.rejects(
      client.responses.create({ model, tools, previous_response_id: first.id, input: "Well?" }),
      (error) => error instanceof OpenAI.BadRequestError && error.param === "input",
    );
    const called = [];
    const weather = ({ city }) => (called.push(city), "rain");
    const runner = client.chat.completions.runTools({
      model,
      messages: says(input),
      tools: [zodFunction({ name: "weather", parameters: City, function: weather })],
    });
    assert.equal(await runner.finalContent(), "The tool said: rain");
    assert.deepEqual(called, ["Oslo", "Rome"]);
  });

  test(`${model}: an image, on both surfaces`, async () => {
    const shown = [
      { type: "input_text", text: "echo: seen" },
      { type: "input_image", image_url: picture, detail: "auto" },
    ];
    assert.equal((await client.responses.create({ model, input: says(shown) })).output_text, "seen");
    const parts = [
      { type: "text", text: "echo: seen" },
      { type: "image_url", image_url: { url: picture } },
    ];
    const answer = await client.chat.completions.create({ model, messages: says(parts) });
    assert.equal(answer.choices[0].message.content, "seen");
  });

  test(`${model}: it is counted and found among the models`, async () => {
    const counted = await client.responses.inputTokens.count({ model, input: "one two three" });
    assert.equal(counted.object, "response.input_tokens");
    assert.ok(counted.input_tokens > 0);
    assert.equal((await client.models.retrieve(model)).id, model);
    assert.ok((await collect(client.models.list())).some((one) => one.id === model));
  });
}
