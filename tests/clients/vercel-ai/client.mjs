// Vercel's AI SDK: its providers for OpenAI, for Anthropic, and for whatever is compatible with OpenAI.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, generateText, isStepCount, streamText, tool } from "ai";
import { z } from "zod";

import { collect, key, perform, raised, scenes, unknown, v1, weather, wrongKey } from "./report.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;

const Pet = z.object({
  kind: z.enum(["cat", "dog"]),
  tame: z.boolean(),
  owner: z.object({ mood: z.enum(["glad", "grim"]) }),
});
const described = { description: "The weather in a city.", inputSchema: z.object({ city: z.enum(["Oslo", "Rome"]) }) };
const bare = { weather: tool(described) };
const running = { weather: tool({ ...described, execute: async (input) => weather(input) }) };

const counts = (usage) => [usage.inputTokens, usage.outputTokens];
const told = (calls) => calls.map((call) => [call.toolName, call.input]);
// One class stands for all failures of a call; the status tells them apart.
const nameOf = (error) => `${error.constructor.name} ${error.statusCode}`;

function scenarios(made) {
  const ask = (model, more) => generateText({ model: made(model), maxRetries: 0, ...more });

  async function byHand(model, text) {
    const messages = [{ role: "user", content: text }];
    const first = await ask(model, { messages, tools: bare });
    const content = first.toolCalls.map((call) => ({
      type: "tool-result",
      toolCallId: call.toolCallId,
      toolName: call.toolName,
      output: { type: "text", value: weather(call.input) },
    }));
    const said = [...messages, ...first.response.messages, { role: "tool", content }];
    return { calls: told(first.toolCalls), text: (await ask(model, { messages: said, tools: bare })).text };
  }

  const fails = (model, prompt, apiKey) =>
    raised(() => generateText({ model: made(model, apiKey), prompt, maxRetries: 0 }), nameOf);

  return {
    plain: async (model) => ({ text: (await ask(model, { prompt: scenes.plain })).text }),

    stream: (model) => collect(streamText({ model: made(model), prompt: scenes.stream, maxRetries: 0 }).textStream),

    usage: async (model) => {
      const whole = await ask(model, { prompt: scenes.plain });
      const streamed = streamText({ model: made(model), prompt: scenes.plain, maxRetries: 0 });
      return { whole: counts(whole.usage), streamed: counts(await streamed.usage) };
    },

    turns: async (model) => {
      const messages = [{ role: "user", content: scenes.turns[0] }];
      const first = await ask(model, { instructions: scenes.system, messages });
      messages.push(...first.response.messages, { role: "user", content: scenes.turns[1] });
      return { text: (await ask(model, { instructions: scenes.system, messages })).text };
    },

    image: async (model) => {
      const content = [
        { type: "text", text: scenes.image },
        { type: "file", data: Buffer.from(scenes.png, "base64"), mediaType: "image/png" },
      ];
      return { text: (await ask(model, { messages: [{ role: "user", content }] })).text };
    },

    parse: async (model) => {
      const answer = await ask(model, { prompt: scenes.parse, output: Output.object({ schema: Pet }) });
      return { value: answer.output };
    },

    tools: (model) => byHand(model, scenes.tools),
    "parallel tools": (model) => byHand(model, scenes.parallel),

    "streamed tools": async (model) => {
      const steps = { tools: running, stopWhen: isStepCount(3) };
      const stream = streamText({ model: made(model), prompt: scenes.tools, maxRetries: 0, ...steps });
      const text = await stream.text;
      return { calls: told((await stream.steps).flatMap((step) => step.toolCalls)), text };
    },

    loop: async (model) => {
      const answer = await ask(model, { prompt: scenes.tools, tools: running, stopWhen: isStepCount(3) });
      return { calls: told(answer.steps.flatMap((step) => step.toolCalls)), text: answer.text };
    },

    "forced tool": async (model) => {
      const choice = { type: "tool", toolName: "weather" };
      const answer = await ask(model, { prompt: scenes.forced, tools: bare, toolChoice: choice });
      return { calls: told(answer.toolCalls) };
    },

    400: (model) => fails(model, scenes.refused),
    401: (model) => fails(model, scenes.plain, wrongKey),
    404: () => fails(unknown, scenes.plain),
    429: (model) => fails(`limited-${model}`, scenes.limited),
  };
}

const previous = (made) => async (model) => {
  const [one, two] = scenes.previous;
  const { openai } = (await generateText({ model: made(model), prompt: one })).providerMetadata;
  const options = { providerOptions: { openai: { previousResponseId: openai.responseId } } };
  return { text: (await generateText({ model: made(model), prompt: two, ...options })).text };
};

const conversation = (made) => async (model) => {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const { id } = await (await fetch(`${v1}/conversations`, { method: "POST", headers, body: "{}" })).json();
  const options = { providerOptions: { openai: { conversation: id } } };
  let text;
  for (const prompt of scenes.conversation) ({ text } = await generateText({ model: made(model), prompt, ...options }));
  return { text };
};

const openai = (apiKey = key) => createOpenAI({ baseURL: v1, apiKey });

await perform({
  chat: scenarios((model, apiKey) => openai(apiKey).chat(model)),
  responses: {
    ...scenarios((model, apiKey) => openai(apiKey).responses(model)),
    previous: previous((model) => openai().responses(model)),
    conversation: conversation((model) => openai().responses(model)),
  },
  compatible: scenarios((model, apiKey = key) =>
    createOpenAICompatible({
      name: "ingot",
      baseURL: v1,
      apiKey,
      includeUsage: true,
      supportsStructuredOutputs: true,
    })(model),
  ),
  messages: scenarios((model, apiKey = key) => createAnthropic({ baseURL: v1, apiKey })(model)),
});
