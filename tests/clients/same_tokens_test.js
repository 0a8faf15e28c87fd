// One conversation costs the same tokens in every API, each with its own names for them.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { anthropic, anthropics, openai, openais } from './support/clients.js';
import {
  anthropicTools,
  calls,
  m1,
  openaiTools,
  question,
  responsesTools,
  results,
  script,
  user,
} from './support/conversation.js';
import { Server } from './support/server.js';

const system = 'Answer briefly.';

// Of a turn: {prompt, output, reasoning}; what was cached has to be a part of the prompt.
const chatUsage = (usage) => ({
  prompt: usage.prompt_tokens,
  output: usage.completion_tokens,
  cached: usage.prompt_tokens_details.cached_tokens,
  reasoning: usage.completion_tokens_details.reasoning_tokens,
});
const responsesUsage = (usage) => ({
  prompt: usage.input_tokens,
  output: usage.output_tokens,
  cached: usage.input_tokens_details.cached_tokens,
  reasoning: usage.output_tokens_details.reasoning_tokens,
});
const messagesUsage = (usage) => ({
  prompt: usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens,
  output: usage.output_tokens,
  cached: usage.cache_read_input_tokens,
  reasoning: usage.output_tokens_details.thinking_tokens,
});

// Each API: a turn after `history`, a list of {asked} and {answer}; gives {usage, answer}.
function chat(send) {
  return async (history) => {
    const messages = [{ role: 'system', content: system }];
    for (const { asked, answer } of history) {
      if (asked) messages.push(user(asked));
      if (!answer) continue;
      messages.push(
        answer,
        ...(answer.tool_calls ?? []).map((call, i) => ({
          role: 'tool',
          tool_call_id: call.id,
          content: results[i],
        })),
      );
    }
    const { choices, usage } = await send({ messages, tools: openaiTools });
    return { usage: chatUsage(usage), answer: choices[0].message };
  };
}
function responses(client, model) {
  return async (history) => {
    const input = [];
    for (const { asked, answer } of history) {
      if (asked) input.push(user(asked));
      if (!answer) continue;
      input.push(
        ...answer,
        ...answer
          .filter((item) => item.type === 'function_call')
          .map((call, i) => ({
            type: 'function_call_output',
            call_id: call.call_id,
            output: results[i],
          })),
      );
    }
    const { output, usage } = await client.responses.create({
      model,
      input,
      instructions: system,
      tools: responsesTools,
    });
    return { usage: responsesUsage(usage), answer: output };
  };
}
function messagesApi(client, model) {
  return async (history) => {
    const messages = [];
    for (const { asked, answer } of history) {
      if (asked) messages.push(user(asked));
      if (!answer) continue;
      messages.push({ role: 'assistant', content: answer });
      const uses = answer.filter((block) => block.type === 'tool_use');
      if (uses.length)
        messages.push(
          user(
            uses.map((use, i) => ({
              type: 'tool_result',
              tool_use_id: use.id,
              content: results[i],
            })),
          ),
        );
    }
    const { content, usage } = await client.messages.create({
      model,
      system,
      messages,
      tools: anthropicTools,
      max_tokens: 1000,
    });
    return { usage: messagesUsage(usage), answer: content };
  };
}

describe('the same conversation', () => {
  let server, apis;
  before(async () => {
    server = await Server.start({ args: m1, script });
    apis = [
      [
        'MiniMax',
        chat((fields) =>
          server.post('/v1/text/chatcompletion_v2', { model: server.name, ...fields }),
        ),
      ],
    ];
    for (const sdk of openais) {
      const client = openai(sdk, server);
      apis.push(
        [
          `chat of ${sdk.name}`,
          chat((fields) => client.chat.completions.create({ model: server.name, ...fields })),
        ],
        [`responses of ${sdk.name}`, responses(client, server.name)],
      );
    }
    for (const sdk of anthropics)
      apis.push([sdk.name, messagesApi(anthropic(sdk, server), server.name)]);
  });
  after(() => server.stop());

  test('costs the same', async () => {
    const costs = new Map();
    for (const [name, ask] of apis) {
      const history = [];
      const turns = [];
      for (const asked of ['Hello', question, undefined]) {
        // the last: with the results of calls
        if (asked) history.push({ asked });
        const { usage, answer } = await ask(history);
        turns.push(usage);
        history.push({ answer });
      }
      for (const { cached, prompt, reasoning, output } of turns)
        assert.ok(cached <= prompt && reasoning < output, name);
      // What was said and read before is never read again.
      for (let i = 1; i < turns.length; ++i) {
        assert.ok(
          turns[i].cached >= turns[i - 1].prompt + turns[i - 1].output - 2,
          `${name}: ${JSON.stringify(turns)}`,
        );
      }
      costs.set(
        name,
        turns.map(({ cached: _, ...rest }) => rest),
      );
    }
    for (const [name, turns] of costs) assert.deepEqual(turns, costs.get('MiniMax'), name);
  });

  test('made up turns cost the same', async () => {
    const [first, second] = calls;
    const histories = {
      chat: {
        role: 'assistant',
        content: null,
        tool_calls: [first, second].map((call, i) => ({
          id: `call_${i}`,
          type: 'function',
          function: { name: call.name, arguments: JSON.stringify(call.arguments) },
        })),
      },
      responses: [first, second].map((call, i) => ({
        type: 'function_call',
        call_id: `call_${i}`,
        name: call.name,
        arguments: JSON.stringify(call.arguments),
      })),
      messages: [first, second].map((call, i) => ({
        type: 'tool_use',
        id: `call_${i}`,
        name: call.name,
        input: call.arguments,
      })),
    };
    const costs = [];
    for (const [name, ask] of apis) {
      const kind = name.startsWith('responses')
        ? 'responses'
        : name.startsWith('@')
          ? 'messages'
          : 'chat';
      costs.push({
        ...(await ask([{ asked: question }, { answer: histories[kind] }])).usage,
        cached: 0,
      });
    }
    for (const cost of costs) assert.deepEqual(cost, costs[0]);
  });
});
