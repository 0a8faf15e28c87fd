// Messages with Anthropic's SDK.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { all, anthropic, anthropics } from './support/clients.js';
import {
  anthropicTools as tools,
  calls,
  m1,
  question,
  results,
  script,
  thoughts,
  user,
  words,
} from './support/conversation.js';
import { Server } from './support/server.js';

for (const sdk of anthropics) {
  const { Anthropic } = sdk;
  describe(`messages with ${sdk.name}`, () => {
    let server, client;
    before(async () => {
      server = await Server.start({ args: m1, script });
      client = anthropic(sdk, server);
    });
    after(() => server.stop());
    const common = { max_tokens: 400 };
    const create = (fields) => client.messages.create({ model: server.name, ...common, ...fields });
    const stream = (fields) => client.messages.stream({ model: server.name, ...common, ...fields });

    test('a message', async () => {
      const message = await create({ system: 'Be kind.', messages: [user('Hello')] });
      assert.equal(message.type, 'message');
      assert.match(message.id, /^msg_/);
      assert.equal(message.role, 'assistant');
      assert.equal(message.model, server.name);
      assert.deepEqual(
        message.content.map(({ type, text }) => ({ type, text })),
        [{ type: 'text', text: 'Hello to you, too.' }],
      );
      assert.equal(message.stop_reason, 'end_turn');
      assert.equal(message.stop_sequence, null);
      assert.ok(message.usage.input_tokens > 0 && message.usage.output_tokens > 0);
      assert.equal(message.usage.cache_read_input_tokens, 0);
    });

    // Signatures and ids are random.
    const comparable = (message) => {
      const {
        id: _1,
        usage: _2,
        _request_id: _3,
        parsed_output: _4,
        ...rest
      } = structuredClone(message);
      for (const block of rest.content) {
        delete block.signature;
        delete block.id;
        delete block.parsed;
      }
      return rest;
    };

    test('streamed equals unstreamed', async () => {
      const thinkings = [
        undefined,
        { type: 'enabled', budget_tokens: 1024 },
        { type: 'adaptive' },
        { type: 'disabled' },
        { type: 'adaptive', display: 'omitted' },
      ];
      const requests = [
        { messages: [user('Hello')] },
        { messages: [user('Count')], stop_sequences: ['four f', 'zzz'] },
        { messages: [user('Count')], max_tokens: 4 },
        { messages: [user('Broken')], tools },
        { messages: [user('Cut')], tools, max_tokens: 16 },
        {
          messages: [user(question)],
          tools,
          tool_choice: { type: 'auto', disable_parallel_tool_use: true },
        },
        { messages: [user(question)], tools, tool_choice: { type: 'none' } },
        ...thinkings.flatMap((thinking) => [
          { messages: [user('Think')], thinking },
          { messages: [user(question)], tools, thinking },
        ]),
      ];
      for (const fields of requests) {
        const label = JSON.stringify(fields);
        const whole = await create(fields);
        const run = stream(fields);
        let text = '';
        run.on('text', (delta, snapshot) => {
          text += delta;
          assert.ok(snapshot.endsWith(delta));
        });
        const inputs = [];
        run.on('contentBlock', (block) => {
          if (block.type === 'tool_use') inputs.push(block.input);
        });
        const streamed = await run.finalMessage();
        assert.deepEqual(comparable(streamed), comparable(whole), label);
        assert.equal(text, whole.content.map((block) => block.text ?? '').join(''), label);
        assert.deepEqual(
          inputs,
          whole.content.filter((block) => block.type === 'tool_use').map((block) => block.input),
        );
        assert.equal(streamed.usage.output_tokens, whole.usage.output_tokens, label);
        assert.equal(
          streamed.usage.input_tokens + streamed.usage.cache_read_input_tokens,
          whole.usage.input_tokens + whole.usage.cache_read_input_tokens,
          label,
        );
        const events = await all(await create({ ...fields, stream: true }));
        assert.deepEqual(
          [events[0].type, ...events.slice(-2).map((event) => event.type)],
          ['message_start', 'message_delta', 'message_stop'],
        );
        const { usage } = events[0].message;
        assert.equal(
          usage.input_tokens + usage.cache_read_input_tokens,
          whole.usage.input_tokens + whole.usage.cache_read_input_tokens,
        );
        const starts = events.filter((event) => event.type === 'content_block_start');
        assert.deepEqual(
          starts.map((event) => event.index),
          whole.content.map((_, i) => i),
        );
      }
    });

    test('the ends of an answer', async () => {
      const stopped = await create({
        messages: [user('Count')],
        stop_sequences: ['zzz', 'four f'],
      });
      assert.equal(stopped.content[0].text, 'one two three ');
      assert.equal(stopped.stop_reason, 'stop_sequence');
      assert.equal(stopped.stop_sequence, 'four f');
      const cut = await create({ messages: [user('Count')], max_tokens: 3 });
      assert.equal(cut.stop_reason, 'max_tokens');
      assert.equal(cut.usage.output_tokens, 3);
      const read = await create({ messages: [user('Count')], max_tokens: 0 });
      assert.deepEqual(read.content, []);
    });

    const goOn = (message) => [
      user(question),
      { role: 'assistant', content: message.content },
      user(
        message.content
          .filter((block) => block.type === 'tool_use')
          .map((block, i) => ({ type: 'tool_result', tool_use_id: block.id, content: results[i] })),
      ),
    ];

    test('a round trip of calls, thoughts sent back', async () => {
      for (const ask of [create, (fields) => stream(fields).finalMessage()]) {
        const first = await ask({
          messages: [user(question)],
          tools,
          thinking: { type: 'enabled', budget_tokens: 1024 },
          max_tokens: 2000,
        });
        assert.deepEqual(
          first.content.map((block) => block.type),
          ['thinking', 'text', 'tool_use', 'tool_use'],
        );
        assert.equal(first.content[0].thinking, thoughts);
        assert.match(first.content[0].signature, /./);
        assert.equal(first.content[1].text, words);
        assert.deepEqual(
          first.content.slice(2).map((block) => ({ name: block.name, arguments: block.input })),
          calls,
        );
        assert.equal(first.stop_reason, 'tool_use');
        const second = await ask({ messages: goOn(first), tools });
        assert.equal(second.content.at(-1).text, 'Rome is sunny, Zürich 🌧️.');
        const { usage } = first;
        assert.ok(
          second.usage.cache_read_input_tokens >=
            usage.input_tokens + usage.cache_read_input_tokens + usage.output_tokens - 2,
          JSON.stringify([usage, second.usage]),
        );
        assert.equal(second.usage.cache_creation_input_tokens, 0);
      }
    });

    test('omitted thoughts spare their tokens as well', async () => {
      const first = await create({
        messages: [user(question)],
        tools,
        thinking: { type: 'adaptive', display: 'omitted' },
      });
      assert.equal(first.content[0].thinking, '');
      const second = await create({ messages: goOn(first), tools });
      const { usage } = first;
      assert.ok(
        second.usage.cache_read_input_tokens >=
          usage.input_tokens + usage.cache_read_input_tokens + usage.output_tokens - 2,
        JSON.stringify([usage, second.usage]),
      );
    });

    test('the helper runs tools', async () => {
      const asked = [];
      const message = await client.beta.messages.toolRunner({
        model: server.name,
        ...common,
        messages: [user(question)],
        tools: [
          {
            ...tools[0],
            type: 'custom',
            parse: (input) => input,
            run: (input) => {
              asked.push(input);
              return results[asked.length - 1];
            },
          },
        ],
      });
      assert.equal(message.content.at(-1).text, 'Rome is sunny, Zürich 🌧️.');
      assert.deepEqual(
        asked.toSorted((a, b) => b.days - a.days),
        calls.map((call) => call.arguments),
      );
    });

    test('a turn that is gone on with', async () => {
      const message = await create({
        messages: [user('Say it'), { role: 'assistant', content: 'Hello' }],
      });
      assert.equal(message.content.at(-1).text, 'Hello to you, too.');
      const tokens = await server.post('/v1/messages/count_tokens', {
        model: server.name,
        messages: [user('Say it'), { role: 'assistant', content: 'Hello' }],
      });
      assert.equal(
        message.usage.input_tokens + message.usage.cache_read_input_tokens,
        tokens.input_tokens,
      );
    });

    test('tokens are counted', async () => {
      const fields = {
        system: [{ type: 'text', text: 'Be kind.', cache_control: { type: 'ephemeral' } }],
        messages: [user(question)],
        tools,
      };
      const { input_tokens: counted } = await client.messages.countTokens({
        model: server.name,
        ...fields,
      });
      const { usage } = await create(fields);
      assert.equal(usage.input_tokens + usage.cache_read_input_tokens, counted);
    });

    test('models', async () => {
      const models = [];
      for await (const model of client.models.list()) models.push(model);
      assert.deepEqual(
        models.map(({ id, type }) => ({ id, type })),
        [{ id: server.name, type: 'model' }],
      );
      assert.ok(!Number.isNaN(Date.parse(models[0].created_at)));
      assert.deepEqual(await client.models.retrieve(server.name), models[0]);
    });

    test('the beta client and the other base', async () => {
      const beta = await client.beta.messages.create({
        model: server.name,
        ...common,
        messages: [user('Hello')],
        betas: ['whatever-2030-01-01'],
      });
      assert.equal(beta.content[0].text, 'Hello to you, too.');
      const other = new Anthropic({ baseURL: `${server.url}/anthropic`, apiKey: 'none' });
      const message = await other.messages.create({
        model: server.name,
        ...common,
        messages: [user('Hello')],
      });
      assert.equal(message.content[0].text, 'Hello to you, too.');
    });

    test('an abort ends the work', async () => {
      const run = stream({ messages: [user('Endless')], max_tokens: 10000 });
      run.on('text', (_, snapshot) => {
        if (snapshot.length > 20) run.abort();
      });
      await assert.rejects(run.finalMessage(), Anthropic.APIUserAbortError);
      await server.until('fulmen:num_requests_running', 0);
      assert.ok((await server.metric('fulmen:generation_tokens_total')) < 6000);
    });
  });
}
