// Completions with OpenAI's SDK, by the model itself.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { all, openai, openais } from './support/clients.js';
import { user } from './support/conversation.js';
import { Server } from './support/server.js';

for (const sdk of openais) {
  describe(`completions with ${sdk.name}`, () => {
    let server, client;
    before(async () => {
      server = await Server.start();
      client = openai(sdk, server);
    });
    after(() => server.stop());
    const create = (fields) =>
      client.completions.create({
        model: server.name,
        prompt: 'The code of the blue door is',
        temperature: 0,
        max_tokens: 3,
        ...fields,
      });

    test('text, ids and several of them', async () => {
      const text = await create({});
      assert.equal(text.object, 'text_completion');
      assert.equal(text.choices[0].finish_reason, 'length');
      assert.equal(text.usage.completion_tokens, 3);
      const { tokens } = await server.post('/tokenize', { prompt: 'The code of the blue door is' });
      const ids = await create({ prompt: tokens });
      assert.equal(ids.choices[0].text, text.choices[0].text);
      assert.equal(ids.usage.prompt_tokens, tokens.length);
      const several = await create({ prompt: [tokens, tokens.slice(0, 4)], n: 2, logprobs: 2 });
      assert.deepEqual(
        several.choices.map((choice) => choice.index),
        [0, 1, 2, 3],
      );
      assert.equal(several.choices[0].text, text.choices[0].text);
      assert.deepEqual(several.choices[2], { ...several.choices[3], index: 2 });
    });

    test('streamed equals unstreamed', async () => {
      for (const fields of [
        {},
        { n: 2, seed: 7, temperature: 1 },
        { logprobs: 3 },
        { echo: true },
        { stop: ['e'] },
        { prompt: ['Rome lies in', 'What is Fulmen?'], logprobs: 0 },
      ]) {
        const whole = await create(fields);
        const chunks = await all(
          await create({ ...fields, stream: true, stream_options: { include_usage: true } }),
        );
        const { choices, usage } = chunks.pop();
        assert.deepEqual(choices, []);
        const { cached_tokens: _, ...cold } = usage;
        assert.equal(cold.total_tokens, whole.usage.total_tokens);
        for (const choice of whole.choices) {
          const mine = chunks
            .map((chunk) => chunk.choices[0])
            .filter((other) => other.index === choice.index);
          assert.equal(
            mine.map((other) => other.text).join(''),
            choice.text,
            JSON.stringify(fields),
          );
          assert.deepEqual(mine.map((other) => other.finish_reason).filter(Boolean), [
            choice.finish_reason,
          ]);
          if (!choice.logprobs) continue;
          for (const field of ['tokens', 'token_logprobs', 'top_logprobs', 'text_offset']) {
            const joined = mine.flatMap((other) => other.logprobs?.[field] ?? []);
            assert.deepEqual(
              joined,
              choice.logprobs[field] ?? [],
              `${field} of ${JSON.stringify(fields)}`,
            );
          }
        }
      }
    });

    test('the model answers chats by itself', async () => {
      const answer = await client.chat.completions.create({
        model: server.name,
        temperature: 0,
        messages: [
          user(
            'The code of the blue door is K7QX2M. Tom lives in Rome. ' +
              'What is the code of the blue door?',
          ),
        ],
      });
      assert.equal(answer.choices[0].message.content, 'The answer is K7QX2M.');
    });
  });
}
