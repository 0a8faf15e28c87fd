// Keys, sign-ins and the dashboard, on a server with a ledger.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Accounts } from './support/accounts.js';
import { Browser } from './support/browser.js';
import { Chat, until } from './support/chat.js';

const script = [{ when: 'Hello', answer: 'Hello to you, too.' }];

describe('accounts', () => {
  let accounts;
  let browser;
  before(async () => {
    accounts = await Accounts.start({ args: ['--chat-format', 'm1'], script });
    browser = await Browser.start();
  });
  after(async () => {
    await browser.stop();
    await accounts.stop();
  });

  const signIn = async (secret) => {
    const page = await browser.page();
    await accounts.signIn(page, secret);
    return page;
  };
  const go = (page, name) => page.getByRole('link', { name, exact: true }).click();
  const stored = (page) =>
    page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]));

  test('a browser without a key is asked for one, and nothing looks like an error', async () => {
    const page = await browser.page();
    await page.goto(accounts.server.url);
    await page.getByRole('button', { name: 'Log in' }).waitFor();
    await page.evaluate(() => dispatchEvent(new Event('focus')));
    await page.waitForTimeout(300);
    assert.deepEqual(page.faults, []);
  });

  test('a wrong key is refused in a sentence, and the right one taken', async () => {
    const page = await signIn('wrong');
    await page.getByText(/not known/).waitFor();
    await page.getByLabel(/key/i).fill(accounts.key.secret);
    await page.getByRole('button', { name: 'Log in' }).click();
    const chat = new Chat(page);
    await chat.box.waitFor();
    const answer = await chat.ask('Hello');
    await until('its cost', async () => /CNY|¥/.test(await answer.textContent()));

    // The key is nowhere that a script or a passer-by could read.
    assert.ok(!(await stored(page)).includes(accounts.key.secret));
    const [cookie] = await page.context().cookies();
    assert.equal(cookie.httpOnly, true);
    assert.equal(cookie.sameSite, 'Strict');
    assert.notEqual(cookie.value, accounts.key.secret);
    for (const name of readdirSync(accounts.folder)) {
      const bytes = readFileSync(join(accounts.folder, name), 'latin1');
      assert.ok(!bytes.includes(cookie.value), name);
    }
    assert.ok(!accounts.server.said.join('\n').includes(cookie.value));

    // It is still signed in after a reload, and not after signing out.
    await page.reload();
    await chat.answers.first().waitFor();
    await page.getByRole('button', { name: /^Log out|^Account/ }).first().click();
    const out = page.getByRole('button', { name: 'Log out' });
    if (await out.isVisible()) await out.click();
    await page.getByRole('button', { name: 'Log in' }).waitFor();
    const reply = await fetch(`${accounts.server.url}/v1/models`, {
      headers: { cookie: `${cookie.name}=${cookie.value}`, 'sec-fetch-site': 'same-origin' },
    });
    assert.equal(reply.status, 401);
  });

  test('a cookie counts on our own page alone', async () => {
    const page = await signIn(accounts.key.secret);
    await new Chat(page).box.waitFor();
    const [{ name, value }] = await page.context().cookies();
    const status = async (headers) =>
      (await fetch(`${accounts.server.url}/v1/models`, { headers: { cookie: `${name}=${value}`, ...headers } })).status;
    assert.equal(await status({ 'sec-fetch-site': 'same-origin' }), 200);
    const signedIn = async (headers) => (await (await fetch(`${accounts.server.url}/v1/login`, { headers })).json()).me;
    assert.equal((await signedIn({ cookie: `${name}=${value}` })).key.name, 'team');
    assert.equal(await signedIn({}), null);
    assert.equal(await signedIn({ cookie: `${name}=made-up` }), null);
    assert.notEqual(await status({ origin: 'http://evil.example' }), 200);
    assert.notEqual(await status({ 'sec-fetch-site': 'same-site' }), 200);
    assert.notEqual(await status({ 'sec-fetch-site': 'cross-site' }), 200);
    assert.notEqual(await status({ origin: 'http://evil.example', authorization: 'Bearer x' }), 200);
  });

  test('an administrator makes a key, which works, and revokes it, and its sign-ins with it', async () => {
    const admin = await signIn(accounts.admin);
    await go(admin, 'Keys');
    await admin.getByRole('button', { name: /New key|Create/ }).first().click();
    await admin.getByLabel('Name').fill('ada');
    await admin.getByRole('button', { name: 'Make the key' }).click();
    const secret = await admin.locator('[data-secret]').textContent();
    assert.ok(secret.length > 40, secret);
    await admin.getByRole('button', { name: 'Done' }).click();
    assert.ok(!(await admin.content()).includes(secret));

    const page = await signIn(secret);
    const chat = new Chat(page);
    await chat.box.waitFor();
    await chat.ask('Hello');

    await admin.reload();
    // Ids of keys are random, and may have these letters, too.
    const row = admin.getByRole('row', { name: /^ada/ });
    await row.getByRole('button', { name: /^Revoke/ }).click();
    await admin.getByRole('dialog').getByRole('button', { name: /^Revoke/ }).click();
    await admin.getByLabel('Show 1 revoked').check();
    await row.getByText(/^revoked/).waitFor();
    await chat.send('Hello again');
    await page.getByRole('button', { name: 'Log in' }).waitFor();
  });

  test('the dashboard has the numbers of /metrics', async () => {
    const team = await signIn(accounts.key.secret);
    await new Chat(team).box.waitFor();
    await new Chat(team).ask('Hello');
    const page = await signIn(accounts.admin);
    await go(page, 'Dashboard');
    const numbers = async () => {
      const text = await accounts.metrics();
      const of = {};
      for (const line of text.split('\n')) {
        const found = /^([a-z:_]+)\{([^}]*)\} (\S+)$/.exec(line);
        if (found) of[found[1]] = (of[found[1]] ?? 0) + Number(found[3]);
      }
      return of;
    };
    for (const name of ['fulmen:prompt_tokens_total', 'fulmen:generation_tokens_total', 'fulmen:prefix_cache_hits_total']) {
      await until(name, async () => {
        const value = await page.locator(`[data-metric="${name}"]`).first().getAttribute('value');
        return Number(value) === (await numbers())[name];
      });
    }
    assert.ok((await numbers())['fulmen:generation_tokens_total'] > 0);
    await page.getByText('team').first().waitFor(); // spend by key
  });

  test('chats of one organisation are nowhere for another', async () => {
    await accounts.post('/admin/organisations', { name: 'other' });
    await accounts.post('/admin/deposits', { organisation: 'other', amount: '5', reference: 'o' });
    const stranger = await accounts.post('/admin/keys', { organisation: 'other', name: 'them' });
    const page = await signIn(accounts.key.secret);
    const chat = new Chat(page);
    await chat.box.waitFor();
    await chat.ask('Hello, secret wombat');
    const address = page.url();
    const theirs = await signIn(stranger.secret);
    await new Chat(theirs).box.waitFor();
    await theirs.goto(address);
    await theirs.waitForTimeout(500);
    assert.ok(!(await theirs.content()).includes('wombat'));
  });
});
