// What a model, a link or a foreign page can make the page do: nothing.
import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { Server } from '../clients/support/server.js';
import { Browser } from './support/browser.js';
import { Chat, until } from './support/chat.js';

// Counts who connects: a browser reports requests that its policy then refuses.
class Listener {
  connections = 0;

  static async start() {
    const listener = new Listener();
    listener.http = createServer((_, response) => response.end('<p>here</p>'));
    listener.http.on('connection', () => ++listener.connections);
    listener.http.listen(0, '127.0.0.1');
    await once(listener.http, 'listening');
    listener.port = listener.http.address().port;
    listener.url = `http://127.0.0.1:${listener.port}`;
    return listener;
  }

  stop() {
    this.http.closeAllConnections();
    this.http.close();
  }
}

// Formulas that ask for room: some without end, and one of the usual kind.
const large = [
  '\\rule{50cm}{500in}', '\\rule[-400em]{500em}{500em}', '\\rule{1000px}{99999px}', 'a\\hspace{900cm}b', 'a\\kern-900em b', '\\raisebox{500in}{x}',
  '\\lower500em x', 'a\\above500in b', '\\sqrt{\\rule{1em}{500in}}', '\\left(\\rule{0pt}{500in}\\right)', '\\frac{\\rule{3em}{0.4pt}}{2}',
];

describe('safety', () => {
  let server;
  let browser;
  let listener;
  let hostile;
  before(async () => {
    listener = await Listener.start();
    const far = listener.url;
    hostile = [
      `<script>window.ran = 1; fetch("${far}/script")</script>`,
      `<img src="${far}/html.png" onerror="window.ran = 2">`,
      `<svg onload="window.ran = 3"><image href="${far}/svg.png"/></svg>`,
      `<iframe src="${far}/frame"></iframe><object data="${far}/object"></object>`,
      `<style>body { background: url(${far}/style.png) }</style>`,
      `<link rel="stylesheet" href="${far}/sheet.css"><meta http-equiv="refresh" content="0;${far}">`,
      `![a picture](${far}/markdown.png "title")`,
      `![ref][there]\n\n[there]: ${far}/reference.png`,
      '[press me](javascript:window.ran=4)',
      '[data](data:text/html,<script>window.ran=5</script>)',
      '[vb](vbscript:x) [tabbed](java\tscript:window.ran=6)',
      `<a href="javascript:window.ran=7">html link</a>`,
      '`<img src=x onerror=window.ran=8>`',
      '```html\n<script>window.ran = 9</script>\n```',
      '$\\href{javascript:window.ran=10}{x}$ $\\includegraphics{' + far + '/maths.png}$',
      '\\(\\htmlStyle{background:url(' + far + '/s.png)}{x}\\)',
      `| a | b |\n|---|---|\n| <img src=x onerror=window.ran=11> | ![c](${far}/cell.png) |`,
    ].join('\n\n');
    const script = [
      { when: 'hostile', answer: hostile },
      { when: 'formulas', answer: large.map((tex) => `so $${tex}$ it is\n\n$$${tex}$$`).join('\n\n') },
      { when: 'link', answer: `See [the page](${far}/page) and ![a chart](${far}/chart.png).` },
    ];
    server = await Server.start({ args: ['--chat-format', 'm1'], script });
    browser = await Browser.start();
  });
  after(async () => {
    await browser.stop();
    await server.stop();
    listener.stop();
  });

  test('an answer of scripts, frames, styles and images runs nothing and opens no connection', async () => {
    const chat = await Chat.open(await browser.page(), server.url);
    const answer = await chat.ask('Be hostile');
    assert.match(await answer.textContent(), /window\.ran = 1/); // it is shown as text
    for (const name of ['press me', 'data', 'vb', 'html link']) {
      const link = answer.getByRole('link', { name, exact: true });
      assert.equal(await link.count(), 0, name);
    }
    for (const tag of ['script', 'img', 'svg image', 'iframe', 'object', 'style', 'link', 'meta']) {
      assert.equal(await answer.locator(tag).count(), 0, tag);
    }
    await chat.page.waitForTimeout(500);
    assert.equal(await chat.page.evaluate(() => window.ran), undefined);
    assert.equal(listener.connections, 0);
    assert.deepEqual(chat.page.faults, []);
  });

  test('a formula takes no more room than a reader wants to give it', async () => {
    const chat = await Chat.open(await browser.page(), server.url);
    const answer = await chat.ask('Give me formulas');
    await until('formulas', async () => (await answer.locator('math').count()) === 2 * large.length);
    const boxes = await answer.locator('.maths').evaluateAll((all) =>
      all.map((formula) => ({ tex: formula.querySelector('math').innerHTML, height: formula.getBoundingClientRect().height })),
    );
    for (const { tex, height } of boxes) assert.ok(height < 260, `${height} of ${tex}`);
    const parts = await answer.locator('mspace, mpadded, mfrac').evaluateAll((all) =>
      all.map((part) => ({ tex: part.outerHTML, ...part.getBoundingClientRect().toJSON() })),
    );
    for (const { tex, width, height } of parts) assert.ok(width < 400 && height < 200, `${width} × ${height}: ${tex}`);
    assert.deepEqual(chat.page.faults, []);
  });

  test('a question of the same is shown as it was written', async () => {
    const chat = await Chat.open(await browser.page(), server.url);
    await chat.ask(`link <img src="${listener.url}/mine.png" onerror="window.ran=1">`);
    await chat.page.reload();
    await chat.answers.last().waitFor();
    assert.equal(await chat.page.evaluate(() => window.ran), undefined);
    assert.equal(listener.connections, 0);
  });

  test('an image of the model is a link with its host, and links tell nobody where from', async () => {
    const chat = await Chat.open(await browser.page(), server.url);
    const answer = await chat.ask('Give me a link');
    const links = await answer.getByRole('link').all();
    assert.equal(links.length, 2);
    for (const link of links) {
      assert.match(await link.getAttribute('rel'), /noopener/);
      assert.match(await link.getAttribute('rel'), /noreferrer/);
      assert.equal(await link.getAttribute('target'), '_blank');
    }
    assert.match(await links[1].textContent(), /127\.0\.0\.1/);
    assert.equal(listener.connections, 0);
  });

  test('the policy is strict', async () => {
    const response = await fetch(server.url);
    const policy = response.headers.get('content-security-policy');
    for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'",
      "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'"]) {
      assert.ok(policy.includes(part), part);
    }
    assert.ok(!/unsafe|\*/.test(policy), policy);
  });

  // Sends what no well-meaning client would; returns the status.
  const raw = async (method, path, headers, body = '') => {
    const sent = request(`${server.url}${path}`, { method, headers: { 'content-length': Buffer.byteLength(body), ...headers } });
    sent.end(body);
    const [response] = await once(sent, 'response');
    response.resume();
    return response.statusCode;
  };
  const question = JSON.stringify({ messages: [{ role: 'user', content: 'Give me a link' }] });
  const answered = () => server.metric('fulmen:prompt_tokens_total');

  test('a forged Host, a foreign Origin and a form start nothing', async () => {
    const before = await answered();
    const json = { 'content-type': 'application/json' };
    assert.equal(await raw('POST', '/v1/chat/completions', { ...json, host: 'evil.example' }, question), 403);
    assert.equal(await raw('GET', '/', { host: 'evil.example' }), 403);
    assert.equal(await raw('GET', '/v1/sessions', { host: 'evil.example' }), 403);
    for (const origin of ['http://evil.example', 'null', `http://127.0.0.1:${listener.port}`]) {
      assert.equal(await raw('POST', '/v1/chat/completions', { ...json, origin }, question), 403, origin);
    }
    assert.equal(await raw('POST', '/v1/chat/completions', { ...json, 'sec-fetch-site': 'cross-site' }, question), 403);
    for (const type of ['text/plain', 'multipart/form-data', 'application/x-www-form-urlencoded']) {
      const status = await raw('POST', '/v1/chat/completions', { 'content-type': type, origin: server.url }, question);
      assert.equal(status, 415, type);
    }
    assert.equal(await answered(), before);
  });

  test('a page of another site, in the same browser, can start and read nothing', async () => {
    const before = await answered();
    const page = await browser.page();
    await page.goto(`${listener.url}/`);
    const tried = await page.evaluate(
      async ([url, body]) => {
        const outcomes = [];
        const tries = [
          { method: 'POST', body, headers: { 'content-type': 'text/plain' } },
          { method: 'POST', body, headers: { 'content-type': 'text/plain' }, mode: 'no-cors' },
          { method: 'POST', body, headers: { 'content-type': 'application/json' } },
          { method: 'POST', body, headers: { 'content-type': 'application/json' }, credentials: 'include' },
        ];
        for (const each of tries) {
          outcomes.push(
            await fetch(`${url}/v1/chat/completions`, each).then(
              (response) => `${response.type} ${response.status}`,
              () => 'refused',
            ),
          );
        }
        return outcomes;
      },
      [server.url, question],
    );
    assert.ok(tried.every((outcome) => outcome === 'refused' || outcome === 'opaque 0'), tried.join());
    assert.equal(await answered(), before);
  });

  test('no other site may frame the page', async () => {
    const page = await browser.page();
    await page.goto(`${listener.url}/`);
    const framed = await page.evaluate(async (url) => {
      const frame = document.createElement('iframe');
      frame.src = url;
      document.body.append(frame);
      await new Promise((resolve) => setTimeout(resolve, 500));
      return frame.contentDocument?.body.textContent ?? 'another origin';
    }, server.url);
    assert.equal(framed, 'another origin');
    const frame = page.frames().at(-1);
    await until('an error in the frame', async () => frame.url().startsWith('chrome-error:'));
  });
});
