// The Responses API with OpenAI's SDK, whose helper checks the order of all events.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { all, openai, openais } from './support/clients.js';
import {
  calls,
  m1,
  question,
  responsesTools as tools,
  results,
  script,
  thoughts,
  user,
  words,
} from './support/conversation.js';
import { Server } from './support/server.js';

for (const sdk of openais) {
  describe(`responses with ${sdk.name}`, () => {
    let server, client;
    before(async () => {
      server = await Server.start({ args: m1, script });
      client = openai(sdk, server);
    });
    after(() => server.stop());
    const create = (fields) => client.responses.create({ model: server.name, ...fields });
    const stream = (fields) => client.responses.stream({ model: server.name, ...fields });

    test('an answer', async () => {
      const response = await create({
        input: 'Hello',
        instructions: 'Be kind.',
        metadata: { who: 'me' },
      });
      assert.equal(response.object, 'response');
      assert.equal(response.status, 'completed');
      assert.equal(response.output_text, 'Hello to you, too.');
      assert.equal(response.instructions, 'Be kind.');
      assert.deepEqual(response.metadata, { who: 'me' });
      assert.equal(
        response.usage.total_tokens,
        response.usage.input_tokens + response.usage.output_tokens,
      );
      assert.equal(response.usage.input_tokens_details.cached_tokens, 0);
    });

    // The same but for what is random.
    const comparable = (response) => {
      const copy = structuredClone(response);
      for (const field of ['id', 'created_at', 'completed_at', 'usage', '_request_id'])
        delete copy[field];
      for (const item of copy.output)
        for (const field of ['id', 'call_id', 'encrypted_content', 'parsed_arguments'])
          delete item[field];
      for (const item of copy.output) for (const part of item.content ?? []) delete part.parsed;
      delete copy.output_parsed;
      delete copy.output_text;
      return copy;
    };

    test('streamed equals unstreamed', async () => {
      const requests = [
        { input: 'Hello' },
        { input: question, tools },
        { input: 'Think' },
        { input: question, tools, parallel_tool_calls: false },
        { input: 'Count', max_output_tokens: 4 },
        { input: 'Broken', tools },
        { input: 'Cut', tools, max_output_tokens: 16 },
        { input: 'Hello', top_logprobs: 2, include: ['message.output_text.logprobs'] },
        { input: question, tools, include: ['reasoning.encrypted_content'], store: false },
      ];
      for (const fields of requests) {
        const whole = await create(fields);
        const run = stream(fields);
        const seen = { text: '', arguments: '' };
        const events = [];
        run.on('event', (event) => events.push(event));
        run.on('response.output_text.delta', ({ delta }) => {
          seen.text += delta;
        });
        run.on('response.function_call_arguments.delta', ({ delta }) => {
          seen.arguments += delta;
        });
        const streamed = await run.finalResponse();
        assert.deepEqual(comparable(streamed), comparable(whole), JSON.stringify(fields));
        assert.equal(seen.text, whole.output_text);
        assert.equal(seen.arguments, whole.output.map((item) => item.arguments ?? '').join(''));
        assert.deepEqual(
          events.map((event) => event.sequence_number),
          events.map((_, i) => i),
        );
        assert.equal(events[0].type, 'response.created');
        assert.equal(events.at(-1).type, `response.${whole.status}`);
        // By hand, too: without the helper's own state.
        const raw = await all(await create({ ...fields, stream: true }));
        assert.deepEqual(
          raw.map((event) => event.type).filter((type, i, types) => type !== types[i - 1]),
          events.map((event) => event.type).filter((type, i, types) => type !== types[i - 1]),
        );
        assert.deepEqual(comparable(raw.at(-1).response), comparable(whole));
      }
    });

    const outputs = (response) =>
      response.output
        .filter((item) => item.type === 'function_call')
        .map((call, i) => ({
          type: 'function_call_output',
          call_id: call.call_id,
          output: results[i],
        }));

    test('a round trip of calls with all that was said', async () => {
      const input = [user(question)];
      const first = await create({
        input,
        tools,
        store: false,
        include: ['reasoning.encrypted_content'],
      });
      assert.deepEqual(
        first.output.map((item) => item.type),
        ['reasoning', 'message', 'function_call', 'function_call'],
      );
      assert.equal(first.output[0].content[0].text, thoughts);
      assert.equal(first.output_text, words);
      assert.deepEqual(
        first.output
          .slice(2)
          .map((call) => ({ name: call.name, arguments: JSON.parse(call.arguments) })),
        calls,
      );
      const second = await create({
        input: [...input, ...first.output, ...outputs(first)],
        tools,
        store: false,
      });
      assert.equal(second.output_text, 'Rome is sunny, Zürich 🌧️.');
      assert.ok(
        second.usage.input_tokens_details.cached_tokens >= first.usage.total_tokens - 2,
        JSON.stringify([first.usage, second.usage]),
      );
    });

    test('a round trip of calls with the id of what was said', async () => {
      const first = await stream({ input: question, tools }).finalResponse();
      const second = await stream({
        previous_response_id: first.id,
        input: outputs(first),
        tools,
      }).finalResponse();
      assert.equal(second.output_text, 'Rome is sunny, Zürich 🌧️.');
      assert.equal(second.previous_response_id, first.id);
      assert.ok(
        second.usage.input_tokens_details.cached_tokens >= first.usage.total_tokens - 2,
        JSON.stringify([first.usage, second.usage]),
      );
      const third = await create({ previous_response_id: second.id, input: 'Think' });
      assert.equal(third.output_text, 'Done: thought.');
      assert.ok(third.usage.output_tokens_details.reasoning_tokens > 0);

      // What was new in a request.
      const items = [];
      for await (const item of client.responses.inputItems.list(second.id, {
        order: 'asc',
        limit: 1,
      }))
        items.push(item);
      assert.deepEqual(
        items.map((item) => item.output),
        results,
      );
      assert.equal(new Set(items.map((item) => item.id)).size, items.length);
      const newest = [];
      for await (const item of client.responses.inputItems.list(second.id)) newest.push(item);
      assert.deepEqual(newest, items.toReversed());
    });

    test('stored ones are found, and deleted', async () => {
      const response = await create({ input: 'Hello' });
      const found = await client.responses.retrieve(response.id);
      assert.deepEqual(comparable(found), comparable(response));
      assert.equal(found.id, response.id);
      await client.responses.delete(response.id);
      const missing = (error) =>
        error instanceof sdk.OpenAI.NotFoundError && error.message.includes(response.id);
      await assert.rejects(client.responses.retrieve(response.id), missing);
      await assert.rejects(
        create({ previous_response_id: response.id, input: 'Hello' }),
        (error) => {
          assert.ok(error.status === 400 || error.status === 404, `${error}`);
          assert.equal(error.param, 'previous_response_id');
          return true;
        },
      );
      const kept = await create({ input: 'Hello', store: false });
      await assert.rejects(client.responses.retrieve(kept.id), sdk.OpenAI.NotFoundError);
    });

    test('tokens are counted', async () => {
      const fields = { input: [user(question)], tools, instructions: 'Be kind.' };
      const { input_tokens: counted, object } = await client.responses.inputTokens.count({
        model: server.name,
        ...fields,
      });
      assert.equal(object, 'response.input_tokens');
      assert.equal((await create(fields)).usage.input_tokens, counted);
    });

    test('what is too long fails in the stream as outside', async () => {
      const input = 'x y '.repeat(20000);
      const overflow = (error) =>
        error.code === 'context_length_exceeded' &&
        /maximum context length is 16384 tokens/.test(error.message);
      await assert.rejects(create({ input }), overflow);
      await assert.rejects(stream({ input }).finalResponse(), overflow);
    });

    test('an abort ends the work', async () => {
      const run = stream({ input: 'Endless' });
      run.on('response.output_text.delta', ({ snapshot }) => {
        if (snapshot.length > 20) run.abort();
      });
      await assert.rejects(run.finalResponse(), sdk.OpenAI.APIUserAbortError);
      await server.until('fulmen:num_requests_running', 0);
    });
  });
}
