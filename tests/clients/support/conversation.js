// One conversation for all APIs, with answers of a scripted model in the format of M1.
export const thoughts = 'A city is named.';
export const words = 'I look it up.';
export const calls = [
  { name: 'weather', arguments: { city: 'Rome', days: 2 } },
  { name: 'weather', arguments: { city: 'Zürich "am See"', days: 1 } },
];
const callLines = calls.map((call) => JSON.stringify(call)).join('\n');

// The first whose `when` stands in the last message counts.
export const script = [
  { when: 'rain', answer: '<think>\nI know both.\n</think>\nRome is sunny, Zürich 🌧️.' },
  {
    when: 'in Rome?',
    answer: `<think>\n${thoughts}\n</think>\n${words}\n<tool_calls>\n${callLines}\n</tool_calls>`,
  },
  { when: 'Count', answer: 'one two three four five six seven eight nine ten' },
  { when: 'Think', answer: '<think>\nHm, hm.\n</think>\nDone: thought.' },
  { when: 'Hello', answer: 'Hello to you, too.' },
  { when: 'Endless', answer: 'on and '.repeat(3000) },
  { when: 'Cut', answer: '<tool_calls>\n{"name": "weather", "arguments": {"city": "Rome' },
  {
    when: 'Broken',
    answer: '<tool_calls>\n{"name": "weather", "arguments": {"city": nonsense}}\n</tool_calls>',
  },
];
export const m1 = ['--chat-format', 'm1'];

export const description = 'Weather of a city';
export const parameters = {
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'integer', maximum: 14 } },
  required: ['city'],
};
export const results = ['sunny, 21 °C', 'rain <end_of_sentence>'];
export const question = 'How is it in Rome?';

export const openaiTools = [
  { type: 'function', function: { name: 'weather', description, parameters } },
];
export const responsesTools = [
  { type: 'function', name: 'weather', description, parameters, strict: false },
];
export const anthropicTools = [{ name: 'weather', description, input_schema: parameters }];
export const user = (content) => ({ role: 'user', content });
