// What the scripts of the Node clients share: they run scenarios, and print a line of JSON for each.
// The counterpart of report.py: the same variables, the same lines.
import { readFile } from "node:fs/promises";

export const url = process.env.INGOT_URL;
export const v1 = `${url}/v1`;
export const key = process.env.INGOT_KEY;
export const wrongKey = "sk-wrong-0123456789";
export const unknown = "unheard-of";
export const scenes = JSON.parse(await readFile(new URL("scenes.json", import.meta.url)));

export const weather = ({ city }) => scenes.weather[city];

// The class of the error that a call ends in.
export async function raised(call, nameOf = (error) => error.constructor.name) {
  try {
    await call();
  } catch (error) {
    return { raised: nameOf(error) };
  }
  return { raised: null };
}

// The text of a stream, and whether it came in pieces.
export async function collect(stream) {
  const pieces = [];
  for await (const piece of stream) if (piece) pieces.push(piece);
  return { text: pieces.join(""), streamed: pieces.length > 1 };
}

const patience = 60_000;

async function inTime(work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${patience} ms`)), patience);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

// Runs the scenarios of each surface against each model that INGOT_MODELS names them for.
export async function perform(surfaces) {
  const wanted = JSON.parse(process.env.INGOT_MODELS);
  for (const [surface, scenarios] of Object.entries(surfaces)) {
    for (const [model, names] of Object.entries(wanted)) {
      for (const [name, scenario] of Object.entries(scenarios)) {
        if (!names.includes(name)) continue;
        let line = { surface, model, name };
        try {
          line = { ...line, ok: true, seen: await inTime(scenario(model)) };
        } catch (error) {
          console.error(error);
          line = { ...line, ok: false, seen: { error: `${error?.name}: ${error?.message}`.slice(0, 500) } };
        }
        console.log(JSON.stringify(line));
      }
    }
  }
}
