// Images in the APIs, with a model of random weights that reads them.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { anthropic, anthropics, openai, openais } from './support/clients.js';
import { Server } from './support/server.js';

const goldens = join(import.meta.dirname, '../golden/vl/images');
const photo = readFileSync(join(goldens, 'photo.png')); // 149 x 97: 576 + 16 * 25 tokens
const photoTokens = 976;
const dataUrl = `data:image/png;base64,${photo.toString('base64')}`;
const ask = 'What is it?';

let folder, server, pictures, pictureUrl, privateUrl;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fulmen-images-'));
  execFileSync(process.env.FULMEN, [
    ...['synth', join(folder, 'vl'), '--preset', 'vl-small', '--type', 'BF16', '--quiet'],
    ...['--layers', '2', '--softmax-every', '2', '--hidden', '64', '--heads', '2'],
    ...['--kv-heads', '1', '--head-dim', '32', '--ffn', '64', '--experts', '2'],
    ...['--vocab', '1000'],
  ]);
  pictures = createServer((request, response) => {
    response.setHeader('content-type', 'image/png');
    response.end(photo);
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => pictures.once('listening', resolve));
  const { port } = pictures.address();
  pictureUrl = `http://127.0.0.1:${port}/photo.png`;
  privateUrl = `http://localhost:${port}/photo.png`;
  server = await Server.start({
    args: [
      ...['-m', `vl=${join(folder, 'vl')}`, '-m', ''],
      ...['--image-host', `127.0.0.1:${port}`, '--image-private-addresses'],
    ],
  });
});
after(async () => {
  await server.stop();
  pictures.close();
  rmSync(folder, { recursive: true });
});

for (const sdk of openais) {
  describe(`images with ${sdk.name}`, () => {
    let client;
    before(() => (client = openai(sdk, server)));
    const chat = (url, model = 'vl') =>
      client.chat.completions.create({
        model,
        max_tokens: 4,
        messages: [
          {
            role: 'user',
            content: [
              { type: 'image_url', image_url: { url, detail: 'auto' } },
              { type: 'text', text: ask },
            ],
          },
        ],
      });

    test('in a chat, as data and from a URL: one picture', async () => {
      const text = await client.chat.completions.create({
        model: 'vl',
        max_tokens: 4,
        messages: [{ role: 'user', content: ask }],
      });
      const data = await chat(dataUrl);
      assert.equal(data.usage.prompt_tokens, text.usage.prompt_tokens + photoTokens);
      const fetched = await chat(pictureUrl);
      assert.equal(fetched.usage.prompt_tokens, data.usage.prompt_tokens);
      assert.equal(
        fetched.usage.prompt_tokens_details.cached_tokens,
        fetched.usage.prompt_tokens - 1,
      );
    });

    test('in a response, and in what goes on from it', async () => {
      const first = await client.responses.create({
        model: 'vl',
        max_output_tokens: 4,
        input: [
          {
            role: 'user',
            content: [
              { type: 'input_image', image_url: dataUrl, detail: 'auto' },
              { type: 'input_text', text: ask },
            ],
          },
        ],
      });
      assert.ok(first.usage.input_tokens > photoTokens);
      const second = await client.responses.create({
        model: 'vl',
        max_output_tokens: 4,
        previous_response_id: first.id,
        input: 'And now?',
      });
      assert.ok(second.usage.input_tokens > first.usage.input_tokens);
      assert.ok(second.usage.input_tokens_details.cached_tokens > photoTokens);
    });

    test('what is refused, and why', async () => {
      await assert.rejects(chat(dataUrl, 'fulmen-nano'), {
        status: 400,
        message: /the model fulmen-nano reads text alone, found an image/,
      });
      await assert.rejects(chat(privateUrl), { status: 400, message: /localhost/ });
      await assert.rejects(chat('data:image/png;base64,AAAA'), {
        status: 400,
        message: /messages\[0\]\.content\[0\]: expected a PNG, JPEG, WebP, GIF or BMP image/,
      });
      await assert.rejects(chat(dataUrl.slice(0, 4000)), {
        status: 400,
        message: /messages\[0\]\.content\[0\]/,
      });
      await assert.rejects(chat('file:///etc/passwd'), { status: 400 });
    });
  });
}

for (const sdk of anthropics) {
  describe(`images with ${sdk.name}`, () => {
    let client;
    before(() => (client = anthropic(sdk, server)));
    const image = {
      type: 'image',
      source: { type: 'base64', media_type: 'image/png', data: photo.toString('base64') },
    };
    const linked = () => ({ type: 'image', source: { type: 'url', url: pictureUrl } });
    const body = (content, model = 'vl') => ({ model, messages: [{ role: 'user', content }] });
    const words = { type: 'text', text: ask };

    test('counted before they are paid for, and answered', async () => {
      const without = await client.messages.countTokens(body([words]));
      const counted = await client.messages.countTokens(body([image, words]));
      assert.equal(counted.input_tokens, without.input_tokens + photoTokens);
      const answer = await client.messages.create({
        ...body([linked(), words]),
        max_tokens: 4,
      });
      const { usage } = answer;
      assert.equal(usage.input_tokens + usage.cache_read_input_tokens, counted.input_tokens);
    });

    test('in the result of a tool', async () => {
      const answer = await client.messages.create({
        model: 'vl',
        max_tokens: 4,
        tools: [{ name: 'look', input_schema: { type: 'object' } }],
        messages: [
          { role: 'user', content: 'Look.' },
          { role: 'assistant', content: [{ type: 'tool_use', id: 't1', name: 'look', input: {} }] },
          {
            role: 'user',
            content: [{ type: 'tool_result', tool_use_id: 't1', content: [words, image] }],
          },
        ],
      });
      const { usage } = answer;
      assert.ok(usage.input_tokens + usage.cache_read_input_tokens > photoTokens);
    });

    test('not by a model of text', async () => {
      await assert.rejects(
        client.messages.create({ ...body([image, words], 'fulmen-nano'), max_tokens: 4 }),
        { status: 400, message: /the model fulmen-nano reads text alone, found an image/ },
      );
    });
  });
}
