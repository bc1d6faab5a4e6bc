// A question and its answer.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "http://127.0.0.1:5150/v1", apiKey: process.env.INGOT_API_KEY });

const answer = await client.chat.completions.create({
  model: "demo-tiny",
  messages: [{ role: "user", content: "Hello! What is this server?" }],
});
console.log(answer.choices[0].message.content);
