// An answer that fits a JSON schema.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "http://127.0.0.1:5150/v1", apiKey: process.env.INGOT_API_KEY });

const person = {
  type: "object",
  // Bounds keep a small model from talking on.
  properties: { name: { type: "string", maxLength: 20 }, age: { type: "integer" } },
  required: ["name", "age"],
  additionalProperties: false,
};

const answer = await client.chat.completions.create({
  model: "demo-tiny",
  messages: [{ role: "user", content: "Anna is 31 years old." }],
  response_format: { type: "json_schema", json_schema: { name: "person", schema: person, strict: true } },
});
console.log(JSON.parse(answer.choices[0].message.content));
