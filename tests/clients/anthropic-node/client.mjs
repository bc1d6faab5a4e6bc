// The newest official client of Anthropic for Node.
import Anthropic from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { z } from "zod";

import { collect, key, perform, raised, scenes, unknown, url, weather, wrongKey } from "./report.mjs";

const Pet = z.object({
  kind: z.enum(["cat", "dog"]),
  tame: z.boolean(),
  owner: z.object({ mood: z.enum(["glad", "grim"]) }),
});

const offered = {
  name: "weather",
  description: "The weather in a city.",
  input_schema: { type: "object", properties: { city: { enum: ["Oslo", "Rome"] } }, required: ["city"] },
};

const made = (apiKey = key) => new Anthropic({ baseURL: url, apiKey, maxRetries: 0, timeout: 60_000 });
const says = (content) => [{ role: "user", content }];
const ask = (model, messages, more = {}, apiKey = key) =>
  made(apiKey).messages.create({ model, max_tokens: 256, messages, ...more });
const textOf = (message) =>
  message.content
    .filter((block) => block.type === "text")
    .map((block) => block.text)
    .join("");
const callsOf = (message) => message.content.filter((block) => block.type === "tool_use");
const told = (calls) => calls.map((call) => [call.name, call.input]);
const counts = ({ usage }) => [usage.input_tokens, usage.output_tokens];

async function* texts(stream) {
  for await (const event of stream) {
    if (event.type === "content_block_delta" && event.delta.type === "text_delta") yield event.delta.text;
  }
}

async function answered(model, asked, first) {
  const results = callsOf(first).map((call) => ({
    type: "tool_result",
    tool_use_id: call.id,
    content: weather(call.input),
  }));
  const said = [...asked, { role: "assistant", content: first.content }, ...says(results)];
  return { calls: told(callsOf(first)), text: textOf(await ask(model, said, { tools: [offered] })) };
}

async function tools(model, text) {
  const asked = says(text);
  return answered(model, asked, await ask(model, asked, { tools: [offered] }));
}

const fails = (model, text, apiKey) => raised(() => ask(model, says(text), {}, apiKey));

await perform({
  messages: {
    plain: async (model) => ({ text: textOf(await ask(model, says(scenes.plain))) }),

    stream: async (model) => {
      const stream = made().messages.stream({ model, max_tokens: 256, messages: says(scenes.stream) });
      const seen = await collect(texts(stream));
      const whole = await stream.finalText();
      if (whole !== seen.text) throw new Error(`${whole} in the end`);
      return seen;
    },

    usage: async (model) => {
      const asked = { model, max_tokens: 256, messages: says(scenes.plain) };
      const streamed = await made().messages.stream(asked).finalMessage();
      return { whole: counts(await made().messages.create(asked)), streamed: counts(streamed) };
    },

    turns: async (model) => {
      const said = says(scenes.turns[0]);
      const first = await ask(model, said, { system: scenes.system });
      said.push({ role: "assistant", content: first.content }, ...says(scenes.turns[1]));
      return { text: textOf(await ask(model, said, { system: scenes.system })) };
    },

    image: async (model) => {
      const source = { type: "base64", media_type: "image/png", data: scenes.png };
      const content = [
        { type: "text", text: scenes.image },
        { type: "image", source },
      ];
      return { text: textOf(await ask(model, says(content))) };
    },

    parse: async (model) => {
      const answer = await made().messages.parse({
        model,
        max_tokens: 256,
        messages: says(scenes.parse),
        output_config: { format: zodOutputFormat(Pet) },
      });
      return { value: Pet.parse(answer.parsed_output) };
    },

    tools: (model) => tools(model, scenes.tools),
    "parallel tools": (model) => tools(model, scenes.parallel),

    "streamed tools": async (model) => {
      const asked = says(scenes.tools);
      const stream = made().messages.stream({ model, max_tokens: 256, messages: asked, tools: [offered] });
      return answered(model, asked, await stream.finalMessage());
    },

    loop: async (model) => {
      const calls = [];
      const run = async (input) => {
        calls.push(["weather", input]);
        return weather(input);
      };
      const tool = betaZodTool({
        name: "weather",
        description: "The weather in a city.",
        inputSchema: z.object({ city: z.enum(["Oslo", "Rome"]) }),
        run,
      });
      const asked = { model, max_tokens: 256, messages: says(scenes.tools), tools: [tool] };
      return { text: textOf(await made().beta.messages.toolRunner(asked).runUntilDone()), calls };
    },

    "forced tool": async (model) => {
      const choice = { type: "tool", name: "weather", disable_parallel_tool_use: true };
      const answer = await ask(model, says(scenes.forced), { tools: [offered], tool_choice: choice });
      return { calls: told(callsOf(answer)) };
    },

    400: (model) => fails(model, scenes.refused),
    401: (model) => fails(model, scenes.plain, wrongKey),
    404: () => fails(unknown, scenes.plain),
    429: (model) => fails(`limited-${model}`, scenes.limited),
  },
});
