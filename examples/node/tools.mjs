// The model calls a function of ours, and answers with what it returned.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "http://127.0.0.1:5150/v1", apiKey: process.env.INGOT_API_KEY });

// The function; a real one would ask a weather service.
const getWeather = ({ city }) => ({ city, sky: "clear", celsius: 21 });

const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "Get the current weather in a city.",
      parameters: {
        type: "object",
        properties: { city: { type: "string", maxLength: 20 } },
        required: ["city"],
      },
    },
  },
];
const messages = [{ role: "user", content: "What is the weather in Paris?" }];

const asked = await client.chat.completions.create({
  model: "demo-tiny",
  messages,
  tools,
  tool_choice: "required",
  parallel_tool_calls: false,
});
messages.push(asked.choices[0].message);
for (const call of asked.choices[0].message.tool_calls) {
  console.log(`the model calls ${call.function.name}(${call.function.arguments})`);
  const result = getWeather(JSON.parse(call.function.arguments));
  messages.push({ role: "tool", tool_call_id: call.id, content: JSON.stringify(result) });
}

const answer = await client.chat.completions.create({
  model: "demo-tiny",
  messages,
  tools,
  tool_choice: "none",
});
console.log(answer.choices[0].message.content);
