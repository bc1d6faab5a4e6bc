// What the programs here share. Each is a row of node:test tests and ends with status 0 only if all of them pass.
// INGOT_URL is the base URL, INGOT_KEY the key; tests/e2e/test_openai_node.py sets both.
import OpenAI from "openai";

export const baseURL = process.env.INGOT_URL;
export const apiKey = process.env.INGOT_KEY;
export const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 60_000 });
export const NAMES = ["mock", "org/renamed"]; // relayed verbatim, and patched

export const says = (content) => [{ role: "user", content }];

export async function collect(stream) {
  const items = [];
  for await (const item of await stream) items.push(item);
  return items;
}

export const textOf = (chunks, index = 0) =>
  chunks
    .flatMap((chunk) => chunk.choices)
    .filter((choice) => choice.index === index)
    .map((choice) => choice.delta.content ?? "")
    .join("");
