// Who uses no mouse, or hears the page: axe in every view, light and dark, and Lighthouse.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { Server } from '../clients/support/server.js';
import { Accounts } from './support/accounts.js';
import { AxeBuilder, Browser, sizes } from './support/browser.js';
import { Chat } from './support/chat.js';

const script = [
  {
    when: 'Everything',
    answer:
      '<think>\nHm.\n</think>\n# Title\n\nText with `code`, a [link](https://example.com) and $x^2$.\n\n' +
      '```js\nconst a = 1; // why\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n1. one\n2. two\n\n> said',
  },
];
const serious = async (page, what) => {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const bad = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  assert.deepEqual(
    bad.map(({ id, nodes }) => `${what}: ${id}: ${nodes.map(({ html }) => html).join(' | ')}`),
    [],
  );
};

describe('access', () => {
  let accounts;
  let server;
  let browser;
  before(async () => {
    accounts = await Accounts.start({ args: ['--chat-format', 'm1'], script });
    server = await Server.start({ args: ['--chat-format', 'm1'], script });
    browser = await Browser.start();
  });
  after(async () => {
    await browser.stop();
    await server.stop();
    await accounts.stop();
  });

  for (const colorScheme of ['light', 'dark']) {
    for (const size of ['desktop', 'phone']) {
      test(`axe finds nothing serious: ${colorScheme}, ${size}`, async () => {
        const options = { colorScheme, viewport: sizes[size] };
        const page = await browser.page(options);
        const chat = await Chat.open(page, server.url);
        await serious(page, 'the first view');
        await chat.ask('Everything');
        await serious(page, 'a chat');
        for (const view of ['settings', 'dashboard']) {
          await page.goto(`${server.url}/#/${view}`);
          await page.waitForTimeout(1000);
          await serious(page, view);
        }
        const admin = await browser.page(options);
        await admin.goto(accounts.server.url);
        await admin.getByLabel(/key/i).waitFor();
        await serious(admin, 'sign in');
        await accounts.signIn(admin, accounts.admin);
        await admin.getByRole('button', { name: 'Log in' }).waitFor({ state: 'hidden' });
        for (const view of ['keys', 'dashboard']) {
          await admin.goto(`${accounts.server.url}/#/${view}`);
          await admin.waitForTimeout(1000);
          await serious(admin, view);
        }
      });
    }
  }

  test('everything can be reached by the keyboard', async () => {
    const page = await browser.page();
    const chat = await Chat.open(page, server.url);
    await chat.ask('Everything');
    await page.evaluate(() => document.activeElement.blur());
    const reached = new Set();
    for (let i = 0; i < 80; ++i) {
      await page.keyboard.press('Tab');
      reached.add(
        await page.evaluate(() => {
          const at = document.activeElement;
          return at.getAttribute('aria-label') ?? at.textContent.trim().slice(0, 40);
        }),
      );
    }
    for (const name of ['New chat', 'Copy', 'Edit', 'Try again', 'Settings', 'Dashboard']) {
      assert.ok([...reached].some((each) => each.includes(name)), `${name} in ${[...reached].join(', ')}`);
    }
  });

  test('Lighthouse: accessibility and best practices at 95 or more', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'fulmen-lighthouse-'));
    const report = join(folder, 'report.json');
    const run = spawn(
      process.execPath,
      [
        join(process.env.CLIENTS, 'node_modules/lighthouse/cli/index.js'),
        server.url,
        '--quiet',
        '--only-categories=accessibility,best-practices',
        '--output=json',
        `--output-path=${report}`,
        '--chrome-flags=--headless=new --no-sandbox --disable-dev-shm-usage',
        '--no-enable-error-reporting',
      ],
      { env: { ...process.env, CHROME_PATH: process.env.CHROMIUM }, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let said = '';
    run.stderr.on('data', (piece) => (said += piece));
    const [status] = await once(run, 'exit');
    assert.equal(status, 0, said);
    const { categories, audits } = JSON.parse(readFileSync(report));
    rmSync(folder, { recursive: true });
    for (const category of Object.values(categories)) {
      const missed = category.auditRefs
        .map(({ id }) => audits[id])
        .filter(({ score }) => score !== null && score < 1)
        .map(({ id, title }) => `${id} (${title})`);
      console.log(`${category.title}: ${Math.round(category.score * 100)}`, missed.join(', '));
      assert.ok(category.score >= 0.95, missed.join(', '));
    }
  });
});
