// Chat completions with OpenAI's SDK.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { all, openai, openais } from './support/clients.js';
import {
  calls,
  m1,
  openaiTools as tools,
  question,
  results,
  script,
  thoughts,
  user,
  words,
} from './support/conversation.js';
import { Server } from './support/server.js';

for (const sdk of openais) {
  describe(`chat with ${sdk.name}`, () => {
    let server, client;
    before(async () => {
      server = await Server.start({ args: m1, script });
      client = openai(sdk, server);
    });
    after(() => server.stop());
    const create = (fields) => client.chat.completions.create({ model: server.name, ...fields });
    const stream = (fields) => client.chat.completions.stream({ model: server.name, ...fields });

    test('an answer', async () => {
      const answer = await create({
        messages: [{ role: 'developer', content: 'Be kind.' }, user('Hello')],
      });
      assert.equal(answer.object, 'chat.completion');
      assert.match(answer.id, /^chatcmpl-/);
      assert.equal(answer.model, server.name);
      assert.equal(answer.choices.length, 1);
      assert.deepEqual(answer.choices[0].message, {
        role: 'assistant',
        content: 'Hello to you, too.',
        refusal: null,
      });
      assert.equal(answer.choices[0].finish_reason, 'stop');
      const {
        prompt_tokens: prompt,
        completion_tokens: completion,
        total_tokens: total,
      } = answer.usage;
      assert.ok(prompt > 0 && completion > 0 && total === prompt + completion);
      assert.match(answer._request_id, /./);
    });

    test('a stream by hand', async () => {
      const chunks = await all(
        await create({
          messages: [user('Hello')],
          stream: true,
          stream_options: { include_usage: true },
        }),
      );
      assert.equal(new Set(chunks.map((chunk) => chunk.id + chunk.created)).size, 1);
      assert.deepEqual(chunks[0].choices[0].delta, { role: 'assistant', content: '' });
      const last = chunks.pop();
      assert.deepEqual(last.choices, []);
      assert.ok(last.usage.completion_tokens > 0);
      assert.ok(chunks.every((chunk) => chunk.usage === null));
      assert.equal(
        chunks.map((chunk) => chunk.choices[0].delta.content ?? '').join(''),
        'Hello to you, too.',
      );
      assert.deepEqual(chunks.map((chunk) => chunk.choices[0].finish_reason).filter(Boolean), [
        'stop',
      ]);
    });

    test('the helper and its events', async () => {
      const run = stream({ messages: [user('Hello')], stream_options: { include_usage: true } });
      const seen = { deltas: '', content: [], chunks: 0 };
      run.on('content.delta', ({ delta, snapshot }) => {
        seen.deltas += delta;
        assert.equal(seen.deltas, snapshot);
      });
      run.on('content.done', ({ content }) => seen.content.push(content));
      run.on('chunk', () => ++seen.chunks);
      const answer = await run.finalChatCompletion();
      assert.deepEqual(seen.content, ['Hello to you, too.']);
      assert.equal(seen.deltas, 'Hello to you, too.');
      assert.ok(seen.chunks > 3);
      assert.equal(answer.choices[0].message.content, 'Hello to you, too.');
      assert.equal(await run.finalContent(), 'Hello to you, too.');
      const usage = await run.totalUsage();
      assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
      assert.ok(usage.total_tokens > 0);
    });

    const expectCalls = (message) => {
      assert.equal(message.content, words);
      assert.deepEqual(
        message.tool_calls.map((call) => ({
          name: call.function.name,
          arguments: JSON.parse(call.function.arguments),
        })),
        calls,
      );
      assert.equal(new Set(message.tool_calls.map((call) => call.id)).size, calls.length);
      assert.ok(message.tool_calls.every((call) => call.type === 'function' && call.id));
    };
    const goOn = (message) => [
      user(question),
      message,
      ...message.tool_calls.map((call, i) => ({
        role: 'tool',
        tool_call_id: call.id,
        content: results[i],
      })),
    ];

    test('a round trip of parallel calls', async () => {
      const first = await create({ messages: [user(question)], tools });
      const [choice] = first.choices;
      assert.equal(choice.finish_reason, 'tool_calls');
      assert.equal(choice.message.reasoning_content, thoughts);
      expectCalls(choice.message);
      const second = await create({ messages: goOn(choice.message), tools });
      assert.equal(second.choices[0].message.content, 'Rome is sunny, Zürich 🌧️.');
      assert.equal(second.choices[0].message.reasoning_content, 'I know both.');
      // The first prompt and its answer are there; the results are new.
      assert.ok(
        second.usage.prompt_tokens_details.cached_tokens >=
          first.usage.prompt_tokens + first.usage.completion_tokens - 2,
        JSON.stringify([first.usage, second.usage]),
      );
      const { count } = await server.post('/tokenize', { messages: goOn(choice.message), tools });
      assert.equal(count, second.usage.prompt_tokens);
    });

    test('a round trip of streamed calls', async () => {
      const run = stream({ messages: [user(question)], tools });
      const done = [];
      run.on('tool_calls.function.arguments.done', (call) =>
        done.push({ name: call.name, arguments: JSON.parse(call.arguments) }),
      );
      let pieces = '';
      run.on('chunk', (chunk) => {
        pieces += chunk.choices[0]?.delta.reasoning_content ?? '';
      });
      const first = await run.finalChatCompletion();
      assert.deepEqual(done, calls);
      assert.equal(pieces, thoughts);
      assert.equal(first.choices[0].finish_reason, 'tool_calls');
      expectCalls(first.choices[0].message);
      // The helper keeps the last piece of it only.
      const { reasoning_content: _, ...message } = first.choices[0].message;
      const second = await stream({
        messages: goOn(message),
        tools,
        stream_options: { include_usage: true },
      }).finalChatCompletion();
      assert.equal(second.choices[0].message.content, 'Rome is sunny, Zürich 🌧️.');
      assert.ok(
        second.usage.prompt_tokens_details.cached_tokens > 0.7 * second.usage.prompt_tokens,
      );
    });

    test('the helper runs tools', async () => {
      const asked = [];
      const run = client.chat.completions.runTools({
        model: server.name,
        stream: true,
        messages: [user(question)],
        tools: [
          {
            type: 'function',
            function: {
              ...tools[0].function,
              parse: JSON.parse,
              function: (given) => {
                asked.push(given);
                return results[asked.length - 1];
              },
            },
          },
        ],
      });
      assert.equal(await run.finalContent(), 'Rome is sunny, Zürich 🌧️.');
      assert.deepEqual(
        asked,
        calls.map((call) => call.arguments),
      );
    });

    test('one call where parallel ones are unwanted', async () => {
      const answer = await create({
        messages: [user(question)],
        tools,
        parallel_tool_calls: false,
      });
      assert.deepEqual(
        answer.choices[0].message.tool_calls.map((call) => JSON.parse(call.function.arguments)),
        [calls[0].arguments],
      );
      assert.equal(answer.choices[0].finish_reason, 'tool_calls');
      const none = await create({ messages: [user(question)], tools, tool_choice: 'none' });
      assert.equal(none.choices[0].message.tool_calls, undefined);
      assert.equal(none.choices[0].finish_reason, 'stop');
    });

    test('a call that is cut short', async () => {
      for (const [asked, tokens, reason] of [
        ['Broken', undefined, 'stop'],
        ['Cut', 16, 'length'],
      ]) {
        const fields = { messages: [user(asked)], tools, max_completion_tokens: tokens };
        const whole = await create(fields);
        assert.equal(whole.choices[0].finish_reason, reason, asked);
        const streamed = await stream(fields).finalChatCompletion();
        assert.equal(streamed.choices[0].finish_reason, reason, asked);
        assert.equal(
          streamed.choices[0].message.content || null,
          whole.choices[0].message.content || null,
        );
        assert.deepEqual(
          streamed.choices[0].message.tool_calls?.map((call) => call.function.arguments),
          whole.choices[0].message.tool_calls?.map((call) => call.function.arguments),
          asked,
        );
      }
    });

    test('log probabilities', async () => {
      const fields = { messages: [user('Hello')], logprobs: true, top_logprobs: 3 };
      const run = stream(fields);
      const streamed = [];
      run.on('logprobs.content.delta', ({ content }) => streamed.push(...content));
      const helper = await run.finalChatCompletion();
      const [choice] = (await create(fields)).choices;
      assert.equal(
        choice.logprobs.content.map((token) => token.token).join(''),
        'Hello to you, too.',
      );
      for (const { logprob, top_logprobs: top, bytes } of choice.logprobs.content) {
        assert.ok(logprob <= 0 && bytes.length > 0 && top.length === 3);
        assert.ok(top[0].logprob >= top[1].logprob && top[1].logprob >= top[2].logprob);
      }
      assert.deepEqual(streamed, choice.logprobs.content);
      assert.deepEqual(helper.choices[0].logprobs.content, choice.logprobs.content);
    });

    test('stop strings and limits', async () => {
      const stopped = await create({ messages: [user('Count')], stop: ['seven', 'four f'] });
      assert.equal(stopped.choices[0].message.content, 'one two three ');
      assert.equal(stopped.choices[0].finish_reason, 'stop');
      const streamed = await stream({ messages: [user('Count')], stop: 'four f' }).finalContent();
      assert.equal(streamed, 'one two three ');
      const cut = await create({ messages: [user('Count')], max_completion_tokens: 3 });
      assert.equal(cut.choices[0].finish_reason, 'length');
      assert.equal(cut.usage.completion_tokens, 3);
      const truncated = await stream({
        messages: [user('Count')],
        max_tokens: 3,
      }).finalChatCompletion();
      assert.equal(truncated.choices[0].message.content, cut.choices[0].message.content);
    });

    test('usage counts what was cached', async () => {
      const messages = [
        user('Hello, and once more the same words so that there is something to find again.'),
      ];
      const first = await create({ messages });
      const second = await create({ messages });
      assert.equal(second.usage.prompt_tokens, first.usage.prompt_tokens);
      assert.ok(second.usage.prompt_tokens_details.cached_tokens >= second.usage.prompt_tokens - 1);
      const reasoned = await create({ messages: [user('Think')] });
      assert.equal(reasoned.choices[0].message.reasoning_content, 'Hm, hm.');
      assert.ok(reasoned.usage.completion_tokens_details.reasoning_tokens > 0);
      assert.ok(
        reasoned.usage.completion_tokens_details.reasoning_tokens <
          reasoned.usage.completion_tokens,
      );
    });

    test('an abort ends the work', async () => {
      const before = await server.metric('fulmen:generation_tokens_total');
      const run = await create({ messages: [user('Endless')], stream: true });
      let seen = 0;
      for await (const _ of run) if (++seen === 5) break; // which aborts
      await server.until('fulmen:num_requests_running', 0);
      const controllers = [new AbortController(), new AbortController()];
      const answers = controllers.map(({ signal }) =>
        client.chat.completions.create(
          { model: server.name, messages: [user('Endless')] },
          { signal },
        ),
      );
      await server.until('fulmen:num_requests_running', 2);
      for (const [i, controller] of controllers.entries()) {
        controller.abort();
        await assert.rejects(answers[i], sdk.OpenAI.APIUserAbortError);
        await server.until('fulmen:num_requests_running', 1 - i);
      }
      // Each would have been 6000 tokens.
      assert.ok((await server.metric('fulmen:generation_tokens_total')) - before < 12000);
    });
  });
}
