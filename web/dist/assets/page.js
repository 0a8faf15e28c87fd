// The plain page: a chat with a model of this server, over the same API that everybody calls.
'use strict';

const at = (id) => document.getElementById(id);
let messages = [];
let running = null; // AbortController of the answer under way

const headers = () => {
  const key = at('key').value.trim();
  return key ? { authorization: `Bearer ${key}` } : {};
};

const say = (text) => { at('status').textContent = text; };

const errorOf = async (response) => {
  const body = await response.json().catch(() => ({}));
  return body?.error?.message ?? `the server answered ${response.status}`;
};

const loadModels = async () => {
  const response = await fetch('/v1/models', { headers: headers() });
  if (!response.ok) return say(await errorOf(response));
  const { data } = await response.json();
  at('model').replaceChildren(...data.map(({ id }) => new Option(id, id)));
  say('');
};

// A message on the page; returns what adds to its text and to its thoughts.
const show = (role) => {
  const article = document.createElement('article');
  const heading = document.createElement('h2');
  heading.textContent = role;
  const thoughts = document.createElement('details');
  thoughts.hidden = true;
  const summary = document.createElement('summary');
  summary.textContent = 'Thoughts';
  const thought = document.createElement('p');
  thoughts.append(summary, thought);
  const words = document.createElement('p');
  article.append(heading, thoughts, words);
  at('log').append(article);
  const follow = (node, text) => {
    const log = at('log');
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    node.append(text);
    if (atEnd) log.scrollTop = log.scrollHeight;
  };
  return {
    text: (text) => follow(words, text),
    thought: (text) => { thoughts.hidden = false; follow(thought, text); },
  };
};

// The data of server-sent events, one after the other.
async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (rest + value).split('\n\n');
    rest = events.pop();
    for (const event of events) {
      if (event.startsWith('data: ') && event !== 'data: [DONE]') yield JSON.parse(event.slice(6));
    }
  }
}

const answer = async () => {
  running = new AbortController();
  const response = await fetch('/v1/chat/completions', {
    method: 'POST',
    signal: running.signal,
    headers: { 'content-type': 'application/json', ...headers() },
    body: JSON.stringify({
      model: at('model').value, messages, stream: true, stream_options: { include_usage: true },
    }),
  });
  if (!response.ok) throw new Error(await errorOf(response));
  const shown = show(at('model').value);
  const message = { role: 'assistant', content: '' };
  messages.push(message);
  for await (const event of eventsOf(response)) {
    if (event.error) throw new Error(event.error.message);
    const delta = event.choices[0]?.delta ?? {};
    if (delta.reasoning_content) shown.thought(delta.reasoning_content);
    if (delta.content) { shown.text(delta.content); message.content += delta.content; }
    if (event.usage) {
      const { prompt_tokens: prompt, completion_tokens: tokens } = event.usage;
      say(`${prompt} tokens read, ${event.usage.prompt_tokens_details?.cached_tokens ?? 0} of them known before; ${tokens} written`);
    }
  }
};

const send = async () => {
  const text = at('text').value.trim();
  if (!text || running) return;
  at('text').value = '';
  messages.push({ role: 'user', content: text });
  show('You').text(text);
  at('send').disabled = true;
  at('stop').disabled = false;
  say('…');
  try {
    await answer();
  } catch (error) {
    say(error.name === 'AbortError' ? 'stopped' : error.message);
  }
  running = null;
  at('send').disabled = false;
  at('stop').disabled = true;
};

at('form').addEventListener('submit', (event) => { event.preventDefault(); send(); });
at('text').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
at('stop').addEventListener('click', () => running?.abort());
at('fresh').addEventListener('click', () => {
  running?.abort();
  messages = [];
  at('log').replaceChildren();
  say('');
});
at('key').addEventListener('change', loadModels);
loadModels().catch((error) => say(error.message));
