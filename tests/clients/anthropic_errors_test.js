// Errors and retries with Anthropic's SDK.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { anthropic, anthropics } from './support/clients.js';
import { anthropicTools as tools, m1, script, user } from './support/conversation.js';
import { Server } from './support/server.js';

for (const sdk of anthropics) {
  const { Anthropic } = sdk;
  describe(`errors with ${sdk.name}`, () => {
    let server, client;
    before(async () => {
      server = await Server.start({
        keys: ['secret-a'],
        args: [...m1, '--body-limit', '100000', '--most-running', '1', '--most-waiting', '1'],
        script,
      });
      client = anthropic(sdk, server, { apiKey: 'secret-a' });
    });
    after(() => server.stop());
    const create = (fields, options) =>
      client.messages.create(
        { model: server.name, max_tokens: 100, messages: [user('Hello')], ...fields },
        options,
      );
    const rejects = (answer, type, status, name, words = /./) =>
      assert.rejects(answer, (error) => {
        assert.ok(error instanceof type, `${error}`);
        assert.equal(error.status, status);
        assert.equal(error.error.type, 'error');
        assert.equal(error.error.error.type, name);
        assert.match(error.error.error.message, words);
        assert.match(error.requestID, /./);
        return true;
      });

    test('a wrong key, a wrong model', async () => {
      assert.equal((await create()).stop_reason, 'end_turn');
      const stranger = anthropic(sdk, server, { apiKey: 'wrong' });
      await rejects(
        stranger.messages.create({ model: server.name, max_tokens: 1, messages: [user('a')] }),
        Anthropic.AuthenticationError,
        401,
        'authentication_error',
      );
      await rejects(
        create({ model: 'claude-9' }),
        Anthropic.NotFoundError,
        404,
        'not_found_error',
        /claude-9/,
      );
      await rejects(
        create({ model: 'claude-9', stream: true }),
        Anthropic.NotFoundError,
        404,
        'not_found_error',
      );
    });

    test('what is wrong is named', async () => {
      const wrong = [
        [{ messages: [] }, /^messages: /],
        [{ max_tokens: undefined }, /^max_tokens: /],
        [{ messages: [{ role: 'robot', content: 'a' }] }, /^messages\.?\[?0.*role: /],
        [{ messages: [user([{ type: 'image', source: {} }])] }, /source\.type: expected/],
        [
          {
            messages: [
              user('a'),
              { role: 'assistant', content: [{ type: 'tool_use', id: 't', name: 'f', input: {} }] },
              user('b'),
            ],
          },
          /tool_result/,
        ],
        [{ tools: [{ type: 'web_search_20250305', name: 'web_search' }] }, /web_search/],
        [{ tool_choice: { type: 'any' } }, /tools to call/],
        [{ thinking: { type: 'sometimes' } }, /thinking/],
      ];
      for (const [fields, words] of wrong) {
        await rejects(
          create(fields),
          Anthropic.BadRequestError,
          400,
          'invalid_request_error',
          words,
        );
      }
    });

    test('too much', async () => {
      await rejects(
        create({ messages: [user('x'.repeat(100001))] }),
        Anthropic.APIError,
        413,
        'request_too_large',
      );
      const long = [user('x y '.repeat(20000))];
      const tooLong = /^prompt is too long: \d+ tokens > 16384 maximum$/;
      await rejects(
        create({ messages: long }),
        Anthropic.BadRequestError,
        400,
        'invalid_request_error',
        tooLong,
      );
      await rejects(
        create({ messages: long, stream: true }),
        Anthropic.BadRequestError,
        400,
        'invalid_request_error',
        tooLong,
      );
      await rejects(
        create({ max_tokens: 16384 }),
        Anthropic.BadRequestError,
        400,
        'invalid_request_error',
        /^input length and `max_tokens` exceed context limit: \d+ \+ 16384 > 16384$/,
      );
    });

    test('a full queue is told, and tried again', async () => {
      const controller = new AbortController();
      const statuses = [];
      const busy = [];
      for (let i = 0; i < 2; ++i) {
        busy.push(
          fetch(`${server.url}/v1/messages`, {
            method: 'POST',
            signal: controller.signal,
            headers: { 'content-type': 'application/json', 'x-api-key': 'secret-a' },
            body: JSON.stringify({
              model: server.name,
              max_tokens: 2000,
              messages: [user('Endless')],
            }),
          }).catch(() => {}),
        );
        await server.until('fulmen:num_requests_running', 1);
        await server.until('fulmen:num_requests_waiting', i);
      }
      await rejects(create(), Anthropic.InternalServerError, 529, 'overloaded_error');
      const patient = anthropic(sdk, server, {
        apiKey: 'secret-a',
        maxRetries: 5,
        fetch: async (...args) => {
          const response = await fetch(...args);
          statuses.push([response.status, response.headers.get('retry-after')]);
          return response;
        },
      });
      const again = patient.messages.create({
        model: server.name,
        max_tokens: 100,
        messages: [user('Hello')],
      });
      while (statuses.length < 1) await new Promise((resolve) => setTimeout(resolve, 10));
      controller.abort();
      assert.equal((await again).content[0].text, 'Hello to you, too.');
      assert.deepEqual(statuses[0], [529, '1']);
      assert.deepEqual(statuses.at(-1), [200, null]);
      await Promise.all(busy);
    });
  });
}
