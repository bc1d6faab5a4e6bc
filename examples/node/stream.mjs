// The answer as it is written, and at its end what it cost.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "http://127.0.0.1:5150/v1", apiKey: process.env.INGOT_API_KEY });

const stream = await client.chat.completions.create({
  model: "demo-tiny",
  messages: [{ role: "user", content: "Count from one to five." }],
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta.content ?? "");
  if (chunk.usage) console.log(`\n${chunk.usage.completion_tokens} tokens`);
}
