// n, logprobs, tools and reasoning in every combination: a stream says what an answer in one piece
// says, by a scripted model and by one that samples.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { all, openai, openais } from './support/clients.js';
import { m1, openaiTools, question, script, user } from './support/conversation.js';
import { Server } from './support/server.js';

// All combinations: [{a: 1, b: 1}, {a: 1, b: 2}, ...].
function combinations(choices) {
  return Object.entries(choices).reduce(
    (made, [name, values]) =>
      made.flatMap((fields) => values.map((value) => ({ ...fields, [name]: value }))),
    [{}],
  );
}

// Choices put together from chunks, as they would come in one piece.
function join(chunks) {
  const choices = [];
  for (const { index, delta, logprobs, finish_reason: reason } of chunks.flatMap(
    (chunk) => chunk.choices,
  )) {
    const choice = (choices[index] ??= {
      index,
      message: { content: '' },
      logprobs: null,
      finish_reason: null,
    });
    assert.equal(choice.finish_reason, null, 'a delta after the end');
    choice.finish_reason = reason;
    const { message } = choice;
    for (const [name, value] of Object.entries(delta)) {
      if (name === 'role') message.role = value;
      else if (name !== 'tool_calls') message[name] = (message[name] ?? '') + value;
    }
    for (const { index: number, id, type, function: part } of delta.tool_calls ?? []) {
      message.tool_calls ??= [];
      if (id) {
        assert.equal(number, message.tool_calls.length);
        message.tool_calls.push({ type, function: { ...part } });
      } else {
        message.tool_calls[number].function.arguments += part.arguments;
      }
    }
    if (logprobs)
      (choice.logprobs ??= { content: [], refusal: null }).content.push(...logprobs.content);
  }
  return choices;
}

// Without ids, and with '' for no content: only with calls it is null.
function plain(choices) {
  return choices.map(
    ({
      index,
      message: { role, content, reasoning_content: reasoning, tool_calls: calls },
      logprobs,
      finish_reason,
    }) => ({
      index,
      role,
      content: content ?? '',
      reasoning,
      finish_reason,
      calls: calls?.map((call) => ({ type: call.type, ...call.function })),
      logprobs: logprobs?.content ?? [],
    }),
  );
}

const common = {
  n: [1, 3],
  logprobs: [{}, { logprobs: true, top_logprobs: 2 }],
  tools: [{}, { tools: openaiTools }, { tools: openaiTools, parallel_tool_calls: false }],
  reasoning: [{}, { include_reasoning: false }],
};
for (const [kind, sdk, options, more] of [
  ['scripted', openais[0], { args: m1, script }, {}],
  ['sampled', openais[1], { args: m1 }, { seed: 5, temperature: 1.5, max_completion_tokens: 12 }],
]) {
  describe(`combinations of chat, ${kind}, with ${sdk.name}`, () => {
    let server, client;
    before(async () => {
      server = await Server.start(options);
      client = openai(sdk, server);
    });
    after(() => server.stop());

    test('streamed equals unstreamed', async () => {
      for (const { n, logprobs, tools, reasoning } of combinations(common)) {
        const fields = {
          model: server.name,
          n,
          ...logprobs,
          ...tools,
          ...reasoning,
          messages: [user(question)],
          ...more,
        };
        const whole = await client.chat.completions.create(fields);
        const chunks = await all(
          await client.chat.completions.create({
            ...fields,
            stream: true,
            stream_options: { include_usage: true },
          }),
        );
        const label = JSON.stringify(fields);
        assert.equal(whole.choices.length, n);
        assert.deepEqual(plain(join(chunks)), plain(whole.choices), label);
        const { usage } = chunks.at(-1);
        assert.equal(usage.completion_tokens, whole.usage.completion_tokens, label);
        assert.equal(usage.prompt_tokens, whole.usage.prompt_tokens, label);
        assert.deepEqual(
          usage.completion_tokens_details,
          whole.usage.completion_tokens_details,
          label,
        );
        // The helper comes to the same, but for reasoning, of which it keeps the last piece.
        const helped = await client.chat.completions.stream(fields).finalChatCompletion();
        const without = (choices) => plain(choices).map(({ reasoning: _, ...rest }) => rest);
        assert.deepEqual(without(helped.choices), without(whole.choices), label);
      }
    });
  });
}

describe('combinations of MiniMax', () => {
  let server;
  before(async () => {
    server = await Server.start({ args: m1, script });
  });
  after(() => server.stop());

  const events = async (body) => {
    const response = await fetch(`${server.url}/v1/text/chatcompletion_v2`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    assert.match(response.headers.get('content-type'), /^text\/event-stream/);
    return (await response.text())
      .split('\n')
      .filter((line) => line.startsWith('data: '))
      .map((line) => JSON.parse(line.slice(6)));
  };

  test('chat', async () => {
    for (const { tools, include_usage: usage, message } of combinations({
      tools: [{}, { tools: openaiTools }],
      include_usage: [true, false],
      message: ['Hello', 'Think', question].map(user),
    })) {
      const body = { model: server.name, messages: [message], ...tools };
      const whole = await server.post('/v1/text/chatcompletion_v2', body);
      assert.equal(whole.base_resp.status_code, 0);
      const chunks = await events({
        ...body,
        stream: true,
        stream_options: { include_usage: usage },
      });
      const last = chunks.pop();
      assert.equal(last.object, 'chat.completion');
      assert.equal(last.base_resp.status_code, 0);
      assert.deepEqual(plain(last.choices), plain(whole.choices));
      assert.equal(last.usage.total_tokens, whole.usage.total_tokens);
      for (const { delta } of chunks.flatMap((chunk) => chunk.choices))
        assert.equal(delta.role, 'assistant');
      const joined = join(chunks);
      joined[0].message.role = 'assistant';
      assert.deepEqual(plain(joined), plain(whole.choices));
    }
  });

  test('errors', async () => {
    for (const [fields, words] of [
      [{ temperature: 0 }, /temperature/],
      [{ n: 2 }, /n/],
      [{ model: undefined }, /model/],
      [{ tool_choice: 'required' }, /tool_choice|auto/],
    ]) {
      const answer = await server.post('/v1/text/chatcompletion_v2', {
        model: server.name,
        messages: [user('Hello')],
        ...fields,
      });
      assert.equal(answer.base_resp.status_code, 2013, JSON.stringify(answer));
      assert.match(answer.base_resp.status_msg, words);
      assert.equal(answer.choices, null);
    }
  });
});
