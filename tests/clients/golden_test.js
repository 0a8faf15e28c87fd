// Conversations whose prompts are known token by token give these through every API that can
// express them. The authors' own tokenizer, a model that fits it, the known ids as a completion: an
// API that asks the same again finds all of them read but the last, and answers the same.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Server } from './support/server.js';

const here = import.meta.dirname;
const golden = join(process.env.FULMEN_SHARED ?? join(here, '../../../shared'), 'golden');
const tokenizer = join(golden, 'tokenizer/minimax/tokenizer.json');
const skip = existsSync(tokenizer) ? false : `${tokenizer} is absent`;
const cases = JSON.parse(readFileSync(join(here, '../golden/chat/cases.json')));

// Each API: the path and body for a case, or why there is none.
const beyondAll = ({ messages, tools, case: name }) => {
  if (tools?.some((tool) => !tool.function)) return 'a tool is not wrapped';
  if (
    messages.some(
      ({ content }) => Array.isArray(content) && content.some((part) => part.type !== 'text'),
    )
  )
    return 'images are not read';
  return name === 'two_parts' ? 'parts are joined by line ends' : undefined;
};
const beyondNewer = (item) => {
  const { messages } = item;
  if (!item.add_generation_prompt) return 'a prompt is never left open';
  if (
    messages.some(({ role }) => role === 'tool' || role === 'function') &&
    !messages.some((message) => message.tool_calls)
  ) {
    return 'results belong to calls, not to text that has them';
  }
  if (messages.filter(({ role }) => role === 'system').length > 1)
    return 'system texts are joined by line ends';
  return beyondAll(item);
};
// Calls and results that name each other.
const withIds = (messages) =>
  messages.map((message) => {
    if (message.tool_calls)
      return {
        ...message,
        tool_calls: message.tool_calls.map((call) => ({ ...call, id: 'call_0' })),
      };
    return message.role === 'tool' ? { ...message, tool_call_id: 'call_0' } : message;
  });
const chat = (path) => (item) =>
  beyondAll(item) ?? {
    path,
    body: {
      messages: withIds(item.messages),
      tools: item.tools ?? undefined,
      add_generation_prompt: item.add_generation_prompt,
    },
  };

function responsesItems({ role, content, tool_calls: calls, tool_call_id: id }) {
  if (role === 'tool') return [{ type: 'function_call_output', call_id: id, output: content }];
  if (calls) {
    return calls.map((call) => ({
      type: 'function_call',
      call_id: call.id,
      name: call.function.name,
      arguments: JSON.stringify(call.function.arguments),
    }));
  }
  return [
    {
      role,
      content: content.map(({ text }) => ({
        type: role === 'assistant' ? 'output_text' : 'input_text',
        text,
      })),
    },
  ];
}
function message({ role, content, tool_calls: calls, tool_call_id: id }) {
  if (role === 'tool')
    return { role: 'user', content: [{ type: 'tool_result', tool_use_id: id, content }] };
  if (!calls) return { role, content };
  return {
    role,
    content: calls.map((call) => ({
      type: 'tool_use',
      id: call.id,
      name: call.function.name,
      input: call.function.arguments,
    })),
  };
}

const apis = {
  tokenize: chat('/tokenize'),
  chat: chat('/v1/chat/completions'),
  minimax: (item) =>
    item.add_generation_prompt
      ? chat('/v1/text/chatcompletion_v2')(item)
      : 'a prompt is never left open',
  responses: (item) =>
    beyondNewer(item) ?? {
      path: '/v1/responses',
      body: {
        input: withIds(item.messages).flatMap(responsesItems),
        tools: item.tools?.map((tool) => ({ type: 'function', strict: false, ...tool.function })),
        store: false,
      },
    },
  messages: (item) => {
    if (item.messages.at(-1).role === 'assistant') return 'a turn at the end is gone on with';
    if (item.case === 'empty') return 'a text is never empty';
    return (
      beyondNewer(item) ?? {
        path: '/v1/messages',
        body: {
          system: item.messages.find(({ role }) => role === 'system')?.content,
          messages: withIds(item.messages)
            .filter(({ role }) => role !== 'system')
            .map(message),
          tools: item.tools?.map(({ function: { parameters, ...rest } }) => ({
            ...rest,
            input_schema: parameters,
          })),
        },
      }
    );
  },
};

const promptOf = (usage) =>
  usage.prompt_tokens !== undefined
    ? { prompt: usage.prompt_tokens, cached: usage.prompt_tokens_details.cached_tokens }
    : 'cache_read_input_tokens' in usage
      ? {
          prompt: usage.input_tokens + usage.cache_read_input_tokens,
          cached: usage.cache_read_input_tokens,
        }
      : { prompt: usage.input_tokens, cached: usage.input_tokens_details.cached_tokens };
const textOf = (answer) =>
  answer.choices?.[0].message.content ??
  (answer.content ?? answer.output.flatMap((item) => item.content))
    .map((part) => part.text)
    .join('');
const greedy = (api) => (api === 'minimax' ? { top_k: 1 } : { temperature: 0 });

for (const format of ['text-01', 'm1', 'm1-llama-cpp', 'vl-01']) {
  describe(`golden conversations of ${format}`, { skip }, () => {
    const mine = cases.filter((item) => item.format === format);
    // A key for each question, since each key has a cache of its own.
    const keys = mine.flatMap((_, i) => Object.keys(apis).map((api) => `${api}-${i}`));
    let folder, server;
    before(async () => {
      folder = mkdtempSync(join(tmpdir(), 'fulmen-golden-'));
      execFileSync(process.env.FULMEN, [
        'synth',
        folder,
        '--type',
        'bf16',
        '--force',
        '-q',
        '--vocab',
        '200064',
        '--hidden',
        '32',
        '--layers',
        '2',
        '--softmax-every',
        '2',
        '--heads',
        '2',
        '--kv-heads',
        '1',
        '--head-dim',
        '16',
        '--ffn',
        '32',
        '--experts',
        '2',
        '--top-k',
        '1',
        '--max-position',
        '4096',
      ]);
      copyFileSync(tokenizer, join(folder, 'tokenizer.json'));
      server = await Server.start({
        keys,
        args: ['-m', `wide=${folder}`, '--chat-format', format],
      });
    });
    after(async () => {
      await server.stop();
      rmSync(folder, { recursive: true });
    });

    for (const [api, express] of Object.entries(apis)) {
      test(api, async (t) => {
        const wrong = [];
        for (const [i, item] of mine.entries()) {
          const name = `${item.case}${item.add_generation_prompt ? '' : ', left open'}`;
          const asked = express(item);
          if (typeof asked === 'string') {
            t.diagnostic(`${api} cannot express ${format} ${name}: ${asked}`);
            continue;
          }
          const headers = { authorization: `Bearer ${api}-${i}` };
          if (api === 'tokenize') {
            const { tokens } = await server.post(asked.path, asked.body, headers);
            if (JSON.stringify(tokens) !== JSON.stringify(item.ids)) wrong.push(name);
            continue;
          }
          const { choices } = await server.post(
            '/v1/completions',
            { model: 'wide', prompt: item.ids, max_tokens: 8, temperature: 0 },
            headers,
          );
          const answer = await server.post(
            asked.path,
            { model: 'wide', max_tokens: 8, max_output_tokens: 8, ...greedy(api), ...asked.body },
            headers,
          );
          const found = answer.usage ? { ...promptOf(answer.usage), text: textOf(answer) } : answer;
          const length = item.ids.length;
          // Shorter ones are not kept.
          const cached = length > 32 ? length - 1 : found.cached;
          const expected = { prompt: length, cached, text: choices[0].text };
          if (JSON.stringify(found) !== JSON.stringify(expected))
            wrong.push({ name, found, expected });
        }
        assert.deepEqual(wrong, []);
      });
    }
  });
}
