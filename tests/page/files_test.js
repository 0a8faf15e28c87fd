// What goes in and out beside the text: the clipboard of a page over plain HTTP, pictures, long
// pastes, chats as files.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Server } from '../clients/support/server.js';
import { Browser } from './support/browser.js';
import { Chat, until } from './support/chat.js';

const script = [{ when: 'Hello', answer: 'Hello to **you**.\n\n```js\nlet a = 1;\n```\n' }];
// An address of this machine that is not loopback: browsers trust a page there less.
const lan = Object.values(networkInterfaces())
  .flat()
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;

describe('files', () => {
  let browser;
  before(async () => {
    browser = await Browser.start();
  });
  after(() => browser.stop());

  test('copies over plain HTTP from another host', { skip: lan ? false : 'no network' }, async () => {
    const server = await Server.start({
      args: ['--chat-format', 'm1', '--host', '0.0.0.0', '--anyone'],
      script,
    });
    try {
      const page = await browser.page();
      const chat = await Chat.open(page, server.url.replace(/\/\/[^:]+/, `//${lan}`));
      assert.equal(await page.evaluate(() => window.isSecureContext), false);
      const answer = await chat.ask('Hello');
      await answer.getByRole('button', { name: 'Copy code' }).click();
      await chat.box.focus();
      await page.keyboard.press('Control+V');
      await until('the code', async () => (await chat.box.inputValue()) === 'let a = 1;');
      await chat.box.fill('');
      await answer.getByRole('button', { name: 'Copy', exact: true }).click();
      await chat.box.focus();
      await page.keyboard.press('Control+V');
      await until('the answer', async () =>
        (await chat.box.inputValue()).startsWith('Hello to **you**.'),
      );
    } finally {
      await server.stop();
    }
  });

  test('takes pictures where the model sees, and a chat goes through a file', async () => {
    const server = await Server.start({
      args: ['-m', `fulmen-nano=${join(import.meta.dirname, '../../models/fulmen-nano-vl')}`],
    });
    try {
      const page = await browser.page();
      const chat = await Chat.open(page, server.url);
      const picture = await page.screenshot({ clip: { x: 0, y: 0, width: 64, height: 64 } });
      await page
        .locator('input[type=file]')
        .first()
        .setInputFiles({ name: 'picture.png', mimeType: 'image/png', buffer: picture });
      await chat.ask('What is in the picture?');
      const shown = chat.questions.first().locator('img');
      await until('the picture', async () => (await shown.evaluate((node) => node.naturalWidth)) === 64);
      assert.ok((await server.metric('fulmen:image_tiles_total')) > 0);
      await page.reload();
      await shown.waitFor();

      await page.getByRole('link', { name: 'Settings' }).click();
      const downloading = page.waitForEvent('download');
      await page.getByRole('button', { name: 'Export all' }).click();
      const path = await (await downloading).path();
      assert.ok(JSON.parse(readFileSync(path)));
      for (const { name } of (await (await fetch(`${server.url}/v1/sessions`)).json()).data) {
        await fetch(`${server.url}/v1/sessions/${name}`, { method: 'DELETE' });
      }
      await page.reload();
      await page.locator('input[type=file]').first().setInputFiles(path);
      await chat.chats.getByRole('link', { name: /What is in the picture/ }).click();
      await shown.waitFor();
    } finally {
      await server.stop();
    }
  });

  test('a long paste becomes a file, and can be undone', async () => {
    const server = await Server.start({ args: ['--chat-format', 'm1'], script });
    try {
      const page = await browser.page();
      const chat = await Chat.open(page, server.url);
      assert.equal(await page.locator('input[type=file][accept*="image"]').count(), 0);
      const text = 'Hello, this is long. '.repeat(250);
      await chat.box.evaluate((box, pasted) => {
        const data = new DataTransfer();
        data.setData('text/plain', pasted);
        box.dispatchEvent(
          new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }),
        );
      }, text);
      await page.getByRole('button', { name: 'Undo' }).waitFor();
      assert.equal(await chat.box.inputValue(), '');
      await page.getByRole('button', { name: 'Undo' }).click();
      await until('the text', async () => (await chat.box.inputValue()) === text);
    } finally {
      await server.stop();
    }
  });
});
