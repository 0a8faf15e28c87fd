// A server that speaks the page's part of the API without a model: for trying the page and for measuring it.
// node test/fake_server.mjs [PORT] [--keys] [--vision] [--slow]
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { sample } from './fake_texts.mjs';

const flags = new Set(process.argv.filter((each) => each.startsWith('--')));
const port = Number(process.argv.slice(2).find((each) => /^\d+$/.test(each)) ?? 8090);
const dist = new URL('../dist', import.meta.url).pathname;
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
  + "worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
  + "require-trusted-types-for 'script'; trusted-types page";
const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml', '.webmanifest': 'application/manifest+json' };

const sessions = new Map();
const answers = new Map();
let clock = Date.now() / 1000 - 40 * 86400;
let failing = null;
let ids = 0;

const now = () => Math.floor(Date.now() / 1000);
const fail = (status, message) => Object.assign(new Error(message), { status });
const tokensOf = (text) => text.match(/\s*\S{1,6}/g) ?? [];

function answerOf(text, prompt, finish = 'stop') {
  const count = tokensOf(text).length;
  return {
    id: `chatcmpl-${++ids}`, created: now(), model: 'fulmen-nano', finish_reason: finish,
    usage: { prompt_tokens: prompt, completion_tokens: count, total_tokens: prompt + count,
      prompt_tokens_details: { cached_tokens: Math.floor(prompt * 0.9) }, completion_tokens_details: { reasoning_tokens: 0 },
      cost: (prompt * 0.000001 + count * 0.000008).toFixed(8), currency: 'CNY' },
    timings: { cache_n: Math.floor(prompt * 0.9), prompt_n: Math.ceil(prompt * 0.1), queue_ms: 3, prompt_ms: 180, predicted_n: count, predicted_ms: count * 20 },
  };
}

function addTurn(session, messages, answer) {
  session.messages.push(...messages);
  session.turns.push({ messages: messages.length, tokens: answer.usage.total_tokens, answer });
  session.used = now();
}

function make({ name, system = '', metadata = {} }) {
  if (sessions.has(name)) throw fail(409, `a session ${name} exists`);
  const session = { namespace: '', name, model: 'nano@1', chat_format: 'text-01', created: now(), used: now(), expires: null,
    metadata, under_way: null, system, messages: [], turns: [] };
  sessions.set(name, session);
  return session;
}

const find = (name) => sessions.get(name) ?? (() => { throw fail(404, `there is no session ${name}`); })();
const textOf = (message) => typeof message.content === 'string' ? message.content
  : (message.content ?? []).map((part) => part.text ?? '').join('');

function summaryOf(session, search) {
  const { messages, turns, system, ...head } = session;
  const summary = { ...head, turns: turns.length, tokens: turns.at(-1)?.tokens ?? 0, damaged: false };
  if (!search) return summary;
  const wanted = search.toLowerCase();
  let at = 0;
  for (const [index, turn] of turns.entries()) {
    for (const message of messages.slice(at, at += turn.messages)) {
      const text = textOf(message);
      const found = text.toLowerCase().indexOf(wanted);
      if (found >= 0) return { ...summary, match: { turn: index, excerpt: text.slice(Math.max(0, found - 30), found + 60) } };
    }
  }
  return session.metadata.title?.toLowerCase().includes(wanted) ? { ...summary, match: { turn: null, excerpt: session.metadata.title } } : null;
}

// An answer is a list of events that grows; its readers begin at the first one.
function start(body, key) {
  const session = find(body.session);
  if (session.under_way) throw fail(409, `session ${session.name} is being answered already`);
  const question = textOf(body.messages.at(-1));
  if (/^fail early/.test(question)) throw fail(503, 'the server is shutting down');
  const answer = { events: [], done: false, cancelled: false, wake: [] };
  session.under_way = { idempotency_key: key, started: now(), messages: body.messages };
  session.used = now();
  answers.set(key, answer);
  void run(answer, session, body, question).finally(() => { session.under_way = null; });
  return answer;
}

async function run(answer, session, body, question) {
  const emit = (event) => { answer.events.push(`data: ${typeof event === 'string' ? event : JSON.stringify(event)}\n\n`); answer.wake.splice(0).forEach((go) => go()); };
  const text = sample(question);
  const prompt = (session.turns.at(-1)?.tokens ?? 0) + tokensOf(question).length + 10;
  const result = answerOf(text, prompt);
  const head = { id: result.id, object: 'chat.completion.chunk', created: result.created, model: result.model };
  const choice = (delta, finish_reason = null) => emit({ ...head, choices: [{ index: 0, delta, logprobs: null, finish_reason }], usage: null });
  const steps = /^slow/.test(question) || flags.has('--slow') ? 20 : 2;
  for (let step = 1; step <= steps && !answer.cancelled; step++) {
    await wait(150);
    emit({ ...head, choices: [], prompt_progress: { total: prompt, cache: Math.floor(prompt / 10), processed: Math.floor(prompt * step / steps), time_ms: step * 150 } });
  }
  choice({ role: 'assistant', content: '' });
  if (/think/.test(question)) {
    for (const token of tokensOf('The user wants me to think. Let me look at the question from several sides, and weigh what matters here. '.repeat(4))) {
      if (answer.cancelled) break;
      await wait(20);
      choice({ reasoning_content: token });
    }
  }
  let said = '';
  const pace = Number(/pace (\d+)/.exec(question)?.[1] ?? 50);
  const from = performance.now();
  for (const [index, token] of tokensOf(text).entries()) {
    if (answer.cancelled) break;
    const due = from + index * 1000 / pace - performance.now();
    if (due > 0) await wait(due);
    said += token;
    choice({ content: token });
    if (/^fail late/.test(question) && index === 20) {
      emit({ error: { message: 'the GPU is out of memory' } });
      answer.done = true;
      emit('[DONE]');
      return;
    }
  }
  if (answer.cancelled) Object.assign(result, answerOf(said, prompt, 'cancelled'), { id: result.id });
  choice({}, result.finish_reason);
  if (said) addTurn(session, [...body.messages, { role: 'assistant', content: said, ...(/think/.test(question) ? { reasoning_content: 'The user wants me to think.' } : {}) }], result);
  session.under_way = null;
  emit({ ...head, choices: [], usage: result.usage, timings: result.timings });
  answer.done = true;
  emit('[DONE]');
}

async function stream(answer, response) {
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  response.write(': hello\n\n');
  for (let at = 0; ; ) {
    if (at < answer.events.length) { response.write(answer.events.slice(at).join('')); at = answer.events.length; }
    if (answer.done && at === answer.events.length) break;
    await new Promise((go) => { answer.wake.push(go); });
    if (response.destroyed) return;
  }
  response.end();
}

let loggedIn = !flags.has('--keys');
const meBody = () => ({ needs_key: flags.has('--keys'), key: flags.has('--keys') ? { id: 'k1', name: 'first', scope: 'admin' } : null,
  organisation: flags.has('--keys') ? { name: 'Lab', currency: 'CNY', time_zone: 'Asia/Shanghai', balance: '93.2', held: '0' } : null,
  is_admin: true, sees_metrics: true, keeps_sessions: true });
const settings = { temperature: 0.1, top_p: 0.95, top_k: 0, min_p: 0, repetition_penalty: 1, max_tokens: null };

async function handle(request, url, body, response) {
  const path = decodeURIComponent(url.pathname);
  const session = /^\/v1\/sessions\/([^/]+)(\/\w+)?$/.exec(path);
  const answer = /^\/v1\/idempotency\/([^/]+)(\/cancel)?$/.exec(path);
  const on = `${request.method} ${session ? `/v1/sessions/*${session[2] ?? ''}` : answer ? `/v1/idempotency/*${answer[2] ?? ''}` : path}`;
  if (failing) throw fail(failing, 'told to fail');
  if (!loggedIn && path.startsWith('/v1/') && path !== '/v1/login') throw fail(401, 'a key is needed');
  switch (on) {
    case 'POST /v1/login': if (body.key !== 'secret') throw fail(401, 'no such key'); loggedIn = true; return meBody();
    case 'POST /v1/logout': loggedIn = false; return {};
    case 'GET /v1/login': return { me: loggedIn ? meBody() : null };
    case 'GET /v1/me': return meBody();
    case 'GET /props': return { build_info: 'fake', modalities: { vision: flags.has('--vision') }, models: [
      { id: 'fulmen-nano', context: 16384, default_generation_settings: settings },
      ...(flags.has('--vision') ? [{ id: 'MiniMax-VL-01', context: 1000000, default_generation_settings: { ...settings, temperature: 1 } }] : [])] };
    case 'GET /v1/sessions': {
      const search = url.searchParams.get('search');
      const all = [...sessions.values()].sort((a, b) => b.used - a.used).map((each) => summaryOf(each, search)).filter(Boolean);
      const after = all.findIndex(({ name }) => name === url.searchParams.get('after')) + 1;
      return { object: 'list', data: all.slice(after, after + Number(url.searchParams.get('limit') ?? 1000)) };
    }
    case 'POST /v1/sessions': return make(body);
    case 'GET /v1/sessions/*': return find(session[1]);
    case 'PATCH /v1/sessions/*': {
      const changed = find(session[1]);
      for (const [name, value] of Object.entries(body.metadata ?? {})) if (value === null) delete changed.metadata[name]; else changed.metadata[name] = value;
      return changed;
    }
    case 'DELETE /v1/sessions/*': find(session[1]); sessions.delete(session[1]); return {};
    case 'GET /v1/sessions/*/export': return { format: 'fulmen session', version: 2, ...find(session[1]) };
    case 'PUT /v1/sessions/*': sessions.set(session[1], { ...body, name: session[1], used: now() }); return find(session[1]);
    case 'POST /v1/sessions/*/fork': {
      const source = find(session[1]);
      const turns = source.turns.slice(0, body.turns ?? source.turns.length);
      const fork = make({ name: body.name, system: source.system, metadata: { ...(body.metadata ?? source.metadata) } });
      return Object.assign(fork, { turns, messages: source.messages.slice(0, turns.reduce((sum, each) => sum + each.messages, 0)) });
    }
    case 'POST /v1/chat/completions': return stream(start(body, request.headers['idempotency-key']), response);
    case 'GET /v1/idempotency/*': if (!answers.has(answer[1])) throw fail(404, 'no such answer'); return stream(answers.get(answer[1]), response);
    case 'POST /v1/idempotency/*/cancel': answers.get(answer[1]).cancelled = true; return {};
    case 'POST /fake/fail': failing = body.status; return {};
    case 'GET /metrics': response.writeHead(200, { 'Content-Type': 'text/plain' }); response.end('fulmen_requests_total 3\n'); return undefined;
    default: return file(path, response);
  }
}

async function file(path, response) {
  const name = path === '/' ? '/index.html' : normalize(path);
  const body = await readFile(join(dist, name)).catch(() => { throw fail(404, `there is no ${path}`); });
  response.writeHead(200, { 'Content-Type': types[extname(name)] ?? 'text/plain', 'Content-Security-Policy': policy,
    'X-Content-Type-Options': 'nosniff', 'Cache-Control': name.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache' });
  response.end(body);
}

function seed() {
  const titles = ['Why is the sky blue?', 'A poem about lightning', 'Rust or C++ for a parser', '快速排序怎么写', 'Plan a week in Lisbon', 'Integrals by parts', 'Explain attention'];
  for (const [index, title] of titles.entries()) {
    const session = make({ name: `chat-seed${index}`, metadata: { chat: `seed${index}`, title } });
    for (const question of [title, 'Tell me more.']) addTurn(session, [{ role: 'user', content: question }, { role: 'assistant', content: sample(question) }], answerOf(sample(question), 300));
    session.used = Math.floor(clock += 40 * 86400 / titles.length) - 3600;
  }
  const long = make({ name: 'chat-long', metadata: { chat: 'long', title: 'A thousand turns' } });
  for (let turn = 0; turn < 1000; turn++) addTurn(long, [{ role: 'user', content: `Question ${turn}` }, { role: 'assistant', content: sample(`turn ${turn}`) }], answerOf('some words', turn * 10));
  long.used = now() - 20 * 86400;
}

seed();
createServer(async (request, response) => {
  let text = '';
  for await (const part of request) text += part;
  try {
    const result = await handle(request, new URL(request.url, 'http://x'), text ? JSON.parse(text) : {}, response);
    if (!response.headersSent && result !== undefined) { response.writeHead(200, { 'Content-Type': 'application/json' }); response.end(JSON.stringify(result)); }
  } catch (error) {
    if (response.headersSent) return response.end();
    response.writeHead(error.status ?? 500, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify({ error: { message: error.message } }));
  }
}).listen(port, '0.0.0.0', () => console.log(`http://127.0.0.1:${port}`));
