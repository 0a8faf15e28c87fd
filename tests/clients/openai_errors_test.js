// Errors, retries and models with OpenAI's SDK.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openai, openais } from './support/clients.js';
import { m1, openaiTools as tools, script, user } from './support/conversation.js';
import { Server } from './support/server.js';

for (const sdk of openais) {
  const { OpenAI } = sdk;
  describe(`errors with ${sdk.name}`, () => {
    let server, client;
    before(async () => {
      server = await Server.start({
        keys: ['secret-a', 'secret-b'],
        args: [...m1, '--body-limit', '100000'],
        script,
      });
      client = openai(sdk, server, { apiKey: 'secret-a' });
    });
    after(() => server.stop());
    const create = (fields, options) =>
      client.chat.completions.create(
        { model: server.name, messages: [user('Hello')], ...fields },
        options,
      );

    test('a wrong key', async () => {
      for (const call of [
        (other) => other.models.list(),
        (other) => other.chat.completions.create({ model: 'x', messages: [user('Hello')] }),
      ]) {
        await assert.rejects(call(openai(sdk, server, { apiKey: 'wrong' })), (error) => {
          assert.ok(error instanceof OpenAI.AuthenticationError, `${error}`);
          assert.equal(error.status, 401);
          assert.equal(error.code, 'invalid_api_key');
          assert.match(error.requestID, /./);
          return true;
        });
      }
    });

    test('an unknown model', async () => {
      for (const call of [
        () => create({ model: 'gpt-9' }),
        () => create({ model: 'gpt-9', stream: true }),
        () => client.models.retrieve('gpt-9'),
        () => client.completions.create({ model: 'gpt-9', prompt: 'a' }),
        () => client.responses.create({ model: 'gpt-9', input: 'a' }),
      ]) {
        await assert.rejects(call(), (error) => {
          assert.ok(error instanceof OpenAI.NotFoundError, `${error}`);
          assert.equal(error.code, 'model_not_found');
          assert.match(error.message, /gpt-9/);
          return true;
        });
      }
    });

    test('what is wrong is named', async () => {
      const wrong = [
        [{ temperature: 3 }, 'temperature', /from 0 to 2/],
        [{ messages: [] }, 'messages', /at least one/],
        [{ messages: [user('a'), { role: 'robot', content: 'b' }] }, 'messages[1].role', /robot/],
        [
          { messages: [user([{ type: 'image_url', image_url: { url: 'data:,' } }])] },
          'messages[0].content[0]',
          /reads text alone/,
        ],
        [
          { messages: [user('a'), { role: 'tool', tool_call_id: 'call_1', content: 'b' }] },
          'messages[1].tool_call_id',
          /earlier call/,
        ],
        [{ top_logprobs: 2 }, 'top_logprobs', /logprobs/],
        [{ n: 0 }, 'n', /0/],
        [{ stop: ['a', 'b', 'c', 'd', 'e'] }, 'stop', /4/],
        [{ tool_choice: 'required' }, 'tool_choice', /tools/],
        [
          { tools, tool_choice: { type: 'function', function: { name: 'other' } } },
          'tool_choice.function.name',
          /other/,
        ],
        [
          {
            response_format: {
              type: 'json_schema',
              json_schema: {
                name: 'n',
                strict: true,
                schema: { type: 'array', items: { type: 'integer' }, uniqueItems: true },
              },
            },
          },
          'response_format.json_schema.schema',
          /#\/uniqueItems/,
        ],
      ];
      for (const [fields, param, words] of wrong) {
        await assert.rejects(create(fields), (error) => {
          assert.ok(error instanceof OpenAI.BadRequestError, `${param}: ${error}`);
          assert.equal(error.type, 'invalid_request_error');
          assert.ok(error.param.startsWith(param), `${param}: ${error.param}`);
          assert.match(error.message, words);
          return true;
        });
      }
    });

    test('too much', async () => {
      await assert.rejects(create({ messages: [user('x'.repeat(100001))] }), (error) => {
        assert.ok(error instanceof OpenAI.APIError);
        assert.equal(error.status, 413);
        return true;
      });
      const overflow = (error) => {
        assert.ok(error instanceof OpenAI.BadRequestError, `${error}`);
        assert.equal(error.code, 'context_length_exceeded');
        assert.equal(error.param, 'messages');
        const [, most, found] =
          /maximum context length is (\d+) tokens.* resulted in (\d+) tokens/.exec(error.message);
        assert.equal(most, '16384');
        assert.ok(Number(found) > 16384);
        return true;
      };
      await assert.rejects(create({ messages: [user('x y '.repeat(20000))] }), overflow);
      await assert.rejects(
        create({ messages: [user('x y '.repeat(20000))], stream: true }),
        overflow,
      );
    });

    test('models', async () => {
      const models = [];
      for await (const model of client.models.list()) models.push(model);
      assert.deepEqual(
        models.map((model) => model.id),
        [server.name],
      );
      const one = await client.models.retrieve(server.name);
      assert.equal(one.object, 'model');
      assert.deepEqual(one, models[0]);
    });
  });

  describe(`a full queue with ${sdk.name}`, () => {
    let server;
    before(async () => {
      server = await Server.start({
        args: [...m1, '--most-running', '1', '--most-waiting', '1'],
        script,
      });
    });
    after(() => server.stop());

    test('is told, waited for, and tried again', async () => {
      const statuses = [];
      const client = openai(sdk, server, {
        maxRetries: 0,
        fetch: async (...args) => {
          const response = await fetch(...args);
          statuses.push([response.status, response.headers.get('retry-after')]);
          return response;
        },
      });
      const create = (content, options) =>
        client.chat.completions.create({ model: server.name, messages: [user(content)] }, options);
      const streams = [];
      for (let i = 0; i < 2; ++i) {
        const controller = new AbortController();
        const ended = fetch(`${server.url}/v1/chat/completions`, {
          method: 'POST',
          signal: controller.signal,
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ messages: [user('Endless')] }),
        }).catch(() => {});
        await server.until('fulmen:num_requests_running', 1);
        await server.until('fulmen:num_requests_waiting', i);
        streams.push({ controller, ended });
      }
      await assert.rejects(create('Hello'), (error) => {
        assert.ok(error instanceof OpenAI.RateLimitError, `${error}`);
        assert.equal(error.code, 'rate_limit_exceeded');
        return true;
      });
      const again = create('Hello', { maxRetries: 5 });
      while (statuses.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
      for (const stream of streams) stream.controller.abort();
      assert.equal((await again).choices[0].message.content, 'Hello to you, too.');
      for (const [status, seconds] of statuses.slice(0, -1)) {
        assert.equal(status, 429);
        assert.ok(Number(seconds) >= 1 && Number(seconds) <= 60, seconds);
      }
      assert.deepEqual(statuses.at(-1), [200, null]);
      await Promise.all(streams.map((stream) => stream.ended));
    });
  });
}
