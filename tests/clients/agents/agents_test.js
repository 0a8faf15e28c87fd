// Agents, as they are published, do a job with a tool and go on with it later, in a home of their
// own and with no network but the server. A scripted model with a context that holds their prompts.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Server } from '../support/server.js';
import { Recorder } from './recorder.js';

const modules = join(process.env.CLIENTS, 'agents/node_modules');
const model = 'fulmen-64k';
const key = 'secret';
const prompt = 'Read note.txt and tell me the word.';
const again = 'Once more: which word?';
const thinking = '<think>\nI have it.\n</think>\n';
const call = (name, given) =>
  '<think>\nI read the file.\n</think>\n' +
  `<tool_calls>\n${JSON.stringify({ name, arguments: given })}\n</tool_calls>`;

// Each: the call that reads note.txt in `work`, and the command with its files and variables.
// `goes`: the command goes on with the last conversation.
const agents = {
  'Claude Code': {
    call: (work) => call('Read', { file_path: join(work, 'note.txt') }),
    start: ({ url, text, goes }) => ({
      command: join(modules, '@anthropic-ai/claude-code-linux-x64/claude'),
      args: [...(goes ? ['--continue'] : []), '--print', text, '--model', model],
      env: {
        ANTHROPIC_BASE_URL: url,
        ANTHROPIC_API_KEY: key,
        CLAUDE_CODE_MAX_CONTEXT_TOKENS: '65536',
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      },
    }),
  },
  Codex: {
    call: () => call('exec_command', { cmd: 'cat note.txt', login: false }),
    start: ({ url, text, goes, home }) => {
      mkdirSync(join(home, '.codex'), { recursive: true });
      writeFileSync(
        join(home, '.codex/config.toml'),
        `
model = "${model}"
model_provider = "fulmen"
model_context_window = 65536

[model_providers.fulmen]
name = "Fulmen"
base_url = "${url}/v1"
wire_api = "responses"
env_key = "FULMEN_KEY"
`,
      );
      return {
        command: join(
          modules,
          '@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex',
        ),
        // Its sandbox needs rights that a container may not give.
        args: [
          'exec',
          '--skip-git-repo-check',
          '--sandbox',
          'danger-full-access',
          ...(goes ? ['resume', '--last'] : []),
          text,
        ],
        env: { FULMEN_KEY: key },
      };
    },
  },
  opencode: {
    call: (work) => call('read', { filePath: join(work, 'note.txt') }),
    start: ({ url, text, goes, work }) => {
      writeFileSync(
        join(work, 'opencode.json'),
        JSON.stringify({
          provider: {
            fulmen: {
              npm: '@ai-sdk/openai-compatible',
              options: { baseURL: `${url}/v1`, apiKey: key },
              models: { [model]: { limit: { context: 65536, output: 8192 } } },
            },
          },
          model: `fulmen/${model}`,
          autoupdate: false,
          share: 'disabled',
        }),
      );
      return {
        command: join(modules, 'opencode-linux-x64/bin/opencode'),
        args: ['run', ...(goes ? ['--continue'] : []), text],
        env: { OPENCODE_DISABLE_MODELS_FETCH: '1' },
      };
    },
  },
  pi: {
    call: () => call('read', { path: 'note.txt' }),
    start: ({ url, text, goes, home }) => {
      mkdirSync(join(home, '.pi/agent'), { recursive: true });
      writeFileSync(
        join(home, '.pi/agent/models.json'),
        JSON.stringify({
          providers: {
            fulmen: {
              baseUrl: `${url}/v1`,
              api: 'openai-completions',
              apiKey: key,
              models: [{ id: model, reasoning: true, contextWindow: 65536, maxTokens: 8192 }],
            },
          },
        }),
      );
      return {
        command: process.execPath,
        args: [
          join(modules, '@mariozechner/pi-coding-agent/dist/cli.js'),
          ...(goes ? ['--continue'] : []),
          '--print',
          '--provider',
          'fulmen',
          '--model',
          model,
          text,
        ],
        env: { PI_OFFLINE: '1' },
      };
    },
  },
};

// What it prints; it has a minute.
async function run({ command, args, env }, { home, work }) {
  const nowhere = 'http://127.0.0.1:9';
  const process_ = spawn(command, args, {
    cwd: work,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60000,
    killSignal: 'SIGKILL',
    env: {
      PATH: process.env.PATH,
      HOME: home,
      HTTP_PROXY: nowhere,
      HTTPS_PROXY: nowhere,
      NO_PROXY: '127.0.0.1',
      ...env,
    },
  });
  let printed = '',
    said = '';
  process_.stdout.on('data', (piece) => {
    printed += piece;
  });
  process_.stderr.on('data', (piece) => {
    said += piece;
  });
  const status = await new Promise((resolve) =>
    process_.on('close', (code, signal) => resolve(code ?? signal)),
  );
  assert.equal(status, 0, `${command} ${args.join(' ')}\n${printed}\n${said}`);
  return printed;
}

function makeModel(folder) {
  execFileSync(process.env.FULMEN, [
    'synth',
    folder,
    '--type',
    'bf16',
    '--force',
    '-q',
    '--vocab',
    '4096',
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
    '65536',
  ]);
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) {
    copyFileSync(
      join(import.meta.dirname, '../../../models/fulmen-nano', file),
      join(folder, file),
    );
  }
}

describe('agents', () => {
  let folder;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'fulmen-agents-'));
    mkdirSync(join(folder, 'model'));
    makeModel(join(folder, 'model'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const [name, agent] of Object.entries(agents)) {
    test(name, async (t) => {
      const home = join(folder, name);
      const work = join(home, 'work');
      mkdirSync(work, { recursive: true });
      writeFileSync(join(work, 'note.txt'), 'The word is K7QX2M.\n');
      const server = await Server.start({
        keys: [key],
        args: ['-m', `${model}=${join(folder, 'model')}`, '--chat-format', 'm1'],
        script: [
          { when: again, answer: `${thinking}I said it: K7QX2M.` },
          { when: 'K7QX2M', answer: `${thinking}It is K7QX2M.` },
          { when: '"role":"tool"', answer: 'I cannot read it.' },
          { when: prompt, answer: agent.call(work) },
          { when: '"role":"system"', answer: agent.call(work) }, // behind the user's words
        ],
      });
      const recorder = await Recorder.start(server);
      try {
        const first = await run(agent.start({ url: recorder.url, text: prompt, home, work }), {
          home,
          work,
        });
        assert.match(first, /It is K7QX2M\./);
        const asked = recorder.exchanges.length;
        const second = await run(
          agent.start({ url: recorder.url, text: again, goes: true, home, work }),
          { home, work },
        );
        assert.match(second, /I said it: K7QX2M\./);
        for (const { path, status } of recorder.exchanges) assert.equal(status, 200, path);
        assert.ok(recorder.exchanges.length > asked);
        // Those of the conversation; titles are another.
        const costs = recorder.costs().filter((cost) => cost.prompt > 2000);
        assert.equal(costs.length, 3, JSON.stringify(costs));
        const shares = costs.slice(1).map(({ cached }, i) => cached / costs[i].prompt);
        t.diagnostic(
          `${name}: prompts ${JSON.stringify(costs)}, ` +
            `reused of the turn before: ${shares.map((share) => share.toFixed(4))}`,
        );
        for (const share of shares) assert.ok(share >= 0.95, JSON.stringify(costs));
      } finally {
        recorder.stop();
        await server.stop();
      }
    });
  }
});
