// Answers in a format, and calls that must be made, with all SDKs: what a model that knows neither
// writes is valid all the same.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { anthropic, anthropics, openai, openais } from './support/clients.js';
import { m1, user } from './support/conversation.js';
import { Server } from './support/server.js';

const schema = {
  type: 'object',
  properties: {
    city: { type: 'string', enum: ['Rome', 'Zürich'] },
    days: { anyOf: [{ type: 'integer', minimum: 1, maximum: 14 }, { type: 'null' }] },
    note: { type: 'string', maxLength: 10 },
  },
  required: ['city', 'days', 'note'],
  additionalProperties: false,
};
function assertValid(value) {
  assert.deepEqual(Object.keys(value), ['city', 'days', 'note']);
  assert.ok(schema.properties.city.enum.includes(value.city));
  assert.ok(value.days === null || (value.days >= 1 && value.days <= 14));
  assert.ok([...value.note].length <= 10);
}
const json_schema = { name: 'weather', strict: true, schema };
const format = { type: 'json_schema', ...json_schema };
const messages = [user('How is it there?')];
const strictTool = {
  type: 'function',
  function: { name: 'weather', strict: true, parameters: schema },
};
const chosen = { type: 'function', function: { name: 'weather' } };

for (const sdk of openais) {
  describe(`formats with ${sdk.name}`, () => {
    let server, client;
    before(async () => {
      server = await Server.start({ args: ['--chat-format', 'text-01'] });
      client = openai(sdk, server);
    });
    after(() => server.stop());
    const common = (seed) => ({
      model: server.name,
      messages,
      max_tokens: 400,
      temperature: seed,
      seed,
    });

    test('a schema of chat, whole and streamed', async () => {
      const response_format = { type: 'json_schema', json_schema };
      for (let seed = 0; seed < 2; ++seed) {
        const answer = await client.chat.completions.create({ ...common(seed), response_format });
        assert.equal(answer.choices[0].finish_reason, 'stop');
        assertValid(JSON.parse(answer.choices[0].message.content));
        const streamed = await client.chat.completions
          .stream({ ...common(seed), response_format })
          .finalChatCompletion();
        assert.equal(streamed.choices[0].message.content, answer.choices[0].message.content);
      }
    });

    test('calls that must be made, whole and streamed', async () => {
      for (const tool_choice of [
        'required',
        chosen,
        { type: 'allowed_tools', allowed_tools: { mode: 'required', tools: [chosen] } },
      ]) {
        const fields = {
          ...common(0),
          tools: [strictTool],
          tool_choice,
          parallel_tool_calls: false,
        };
        const answer = await client.chat.completions.create(fields);
        assert.equal(answer.choices[0].finish_reason, 'tool_calls');
        const [{ function: called }, ...others] = answer.choices[0].message.tool_calls;
        assert.equal(others.length, 0);
        assert.equal(called.name, 'weather');
        assertValid(JSON.parse(called.arguments));
        const streamed = await client.chat.completions.stream(fields).finalChatCompletion();
        const [again] = streamed.choices[0].message.tool_calls;
        assert.equal(again.function.arguments, called.arguments);
      }
    });

    test('Responses', async () => {
      const fields = {
        model: server.name,
        input: 'How is it?',
        max_output_tokens: 400,
        temperature: 0,
      };
      const answer = await client.responses.create({ ...fields, text: { format } });
      assert.equal(answer.status, 'completed');
      assertValid(JSON.parse(answer.output_text));
      const { output } = await client.responses.create({
        ...fields,
        tools: [{ type: 'function', ...strictTool.function }],
        tool_choice: 'required',
        parallel_tool_calls: false,
      });
      const calls = output.filter((item) => item.type === 'function_call');
      assert.equal(calls.length, 1);
      assertValid(JSON.parse(calls[0].arguments));
    });

    test('what vLLM and llama.cpp add', async () => {
      const say = async (fields) => {
        const answer = await client.chat.completions.create({ ...common(0), ...fields });
        return answer.choices[0].message.content;
      };
      assertValid(JSON.parse(await say({ structured_outputs: { json: schema } })));
      assertValid(JSON.parse(await say({ guided_json: schema })));
      assertValid(JSON.parse(await say({ json_schema: schema })));
      assert.match(await say({ guided_regex: '[ab]{3}' }), /^[ab]{3}$/);
      assert.match(await say({ guided_choice: ['left', 'right'] }), /^(left|right)$/);
      assert.match(await say({ grammar: 'root ::= "n" [0-9]{2}' }), /^n[0-9]{2}$/);
      const { choices } = await client.completions.create({
        model: server.name,
        prompt: 'Rome lies in',
        max_tokens: 100,
        guided_regex: ' [A-Z][a-z]{2,5}',
      });
      assert.match(choices[0].text, /^ [A-Z][a-z]{2,5}$/);
    });
  });
}

for (const sdk of anthropics) {
  describe(`formats with ${sdk.name}`, () => {
    let server, client;
    before(async () => {
      server = await Server.start({ args: ['--chat-format', 'text-01'] });
      client = anthropic(sdk, server);
    });
    after(() => server.stop());
    const create = (fields) =>
      client.messages.create({
        model: server.name,
        messages,
        max_tokens: 400,
        temperature: 0,
        ...fields,
      });

    test('a format, and calls that must be made', async () => {
      for (const fields of [
        { output_config: { format: { type: 'json_schema', schema } } },
        { output_format: { type: 'json_schema', schema } },
      ]) {
        const message = await create(fields);
        assert.equal(message.stop_reason, 'end_turn');
        assertValid(JSON.parse(message.content.find((block) => block.type === 'text').text));
      }
      const tools = [{ name: 'weather', input_schema: schema, strict: true }];
      for (const tool_choice of [
        { type: 'any', disable_parallel_tool_use: true },
        { type: 'tool', name: 'weather' },
      ]) {
        const message = await create({ tools, tool_choice });
        assert.equal(message.stop_reason, 'tool_use');
        const calls = message.content.filter((block) => block.type === 'tool_use');
        assert.equal(calls.length, 1);
        assertValid(calls[0].input);
      }
    });
  });
}

// As M1 answers: it thinks first. What a scripted model says is held to the format, too.
test('thoughts before a format', async () => {
  const thoughts = '<think>\nHm.\n</think>\n\n';
  const valid = '{"city": "Rome", "days": 3, "note": "sunny"}';
  const call = `{"name": "weather", "arguments": ${valid}}`;
  const server = await Server.start({
    args: m1,
    script: [
      { when: 'Wrong', answer: `${thoughts}Rome.` },
      { when: 'Call', answer: `${thoughts}<tool_calls>\n${call}\n</tool_calls>` },
      { when: 'Say', answer: thoughts + valid },
    ],
  });
  const ask = (content, fields) =>
    server.post('/v1/chat/completions', { messages: [user(content)], ...fields });
  const response_format = { type: 'json_schema', json_schema };
  const said = (await ask('Say', { response_format })).choices[0].message;
  assert.deepEqual([said.reasoning_content, said.content], ['Hm.', valid]);
  const both = { response_format, tools: [strictTool] };
  assert.equal((await ask('Say', both)).choices[0].message.content, valid);
  const tools = [strictTool];
  for (const fields of [both, { tools }, { tools, tool_choice: chosen }]) {
    const { message, finish_reason } = (await ask('Call', fields)).choices[0];
    assert.equal(finish_reason, 'tool_calls');
    assert.equal(message.tool_calls[0].function.arguments, valid);
  }
  const refused = async (...asked) =>
    assert.match((await ask(...asked)).error.message, /does not allow/);
  await refused('Wrong', { response_format });
  await refused('Say', { tools, tool_choice: 'required' });
  await server.stop();
});

// What would take forever is refused or answered soon, and keeps nobody else waiting.
test('formats that are meant to harm', async () => {
  const server = await Server.start();
  const ask = (fields) =>
    server.post('/v1/chat/completions', {
      messages: [user('Hi')],
      max_tokens: 4,
      temperature: 0,
      ...fields,
    });
  const of = (schema) => ({
    response_format: { type: 'json_schema', json_schema: { name: 'x', strict: true, schema } },
  });
  const words = Array.from({ length: 100_000 }, (_, i) => `w${(i * 7919) % 1_000_003}`);
  const alternatives = Array.from({ length: 30 }, (_, i) => ({
    anyOf: [{ required: [`a${i}`] }, { required: [`b${i}`] }],
  }));
  const harmful = [
    of({ enum: words }),
    of({ type: 'object', allOf: alternatives }),
    { grammar: 'root ::= root root | "a"' },
    { guided_regex: 'a?'.repeat(10_000) },
  ].map(ask);
  const began = performance.now();
  const plain = await ask({});
  assert.equal(plain.choices[0].finish_reason, 'length');
  assert.ok(performance.now() - began < 5_000);
  for (const answer of await Promise.all(harmful)) assert.ok(answer.error.message, answer);
  assert.ok(performance.now() - began < 30_000);
  assert.equal((await ask({})).choices[0].message.content, plain.choices[0].message.content);
  await server.stop();
});
