// What goes wrong, and what the page then offers: answers that fail, a context that is full, a server
// that was started anew, another window that does something in the same chat.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Server } from '../clients/support/server.js';
import { Browser } from './support/browser.js';
import { Chat, until } from './support/chat.js';
import { modelOfContext } from './support/model.js';

const script = [
  { when: 'Endless', answer: 'on and '.repeat(4000) },
  { when: 'Hello', answer: 'Hello to you, too.' },
  { when: 'Bonjour', answer: 'Et bonjour.' },
];
const tooMuch = 'too much '.repeat(1000);

describe('trouble', () => {
  let server;
  let browser;
  before(async () => {
    server = await Server.start({ args: ['--chat-format', 'm1'], script });
    browser = await Browser.start();
  });
  after(async () => {
    await browser.stop();
    await server.stop();
  });
  const open = async (options) => Chat.open(await browser.page(options), server.url);
  const texts = async (turns) => (await turns.allTextContents()).map((text) => text.replace(/^You/, ''));
  const offers = (place, name) => place.getByRole('button', { name, exact: true }).count();

  // The next answer begins, and fails.
  const failOnce = (page) =>
    page.route(
      '**/v1/chat/completions',
      (route) =>
        route.fulfill({
          headers: { 'content-type': 'text/event-stream' },
          body: 'data: {"error":{"message":"the GPU is out of memory"}}\n\ndata: [DONE]\n\n',
        }),
      { times: 1 },
    );

  test('a question whose answer failed goes when another is sent', async () => {
    const chat = await open();
    await chat.ask('Hello');
    await failOnce(chat.page);
    await chat.send('Bonjour, it fails');
    await chat.page.getByText('The GPU is out of memory.').waitFor();
    assert.equal(await offers(chat.answers.last(), 'Try again'), 1);
    await chat.send('Endless, in its place');
    await until('words', async () => /on and/.test(await chat.answers.last().textContent()));
    assert.deepEqual(await texts(chat.questions), ['Hello', 'Endless, in its place']);
    await chat.stopButton.click();
    await chat.done();
    assert.deepEqual(await texts(chat.questions), ['Hello', 'Endless, in its place']);
    assert.equal(await chat.page.getByText('The GPU is out of memory.').count(), 0);
  });

  test('what does not fit into the context is not tried again, and an answer that fills it says so', async () => {
    const model = modelOfContext(1000);
    const small = await Server.start({ args: ['-m', `fulmen-nano=${model}`, '--chat-format', 'm1'], script });
    const chat = await Chat.open(await browser.page(), small.url);
    await chat.send(tooMuch);
    await chat.page.getByText('Shorten the message').waitFor();
    assert.equal(await offers(chat.page, 'Try again'), 0);
    await chat.box.fill('Hello');
    await chat.ask('Hello');
    await chat.page.getByText('Shorten the message').waitFor({ state: 'hidden' });

    // Edited so that it does not fit, it fails in its place.
    await chat.edit(0, tooMuch);
    const answer = chat.answers.last();
    await answer.getByText('Shorten the message').waitFor();
    assert.equal(await offers(answer, 'Try again'), 0);
    await answer.getByRole('button', { name: 'Back to the box', exact: true }).click();

    await chat.newChat.click();
    await (await chat.ask('Endless')).getByText('the model’s context is full').waitFor();
    await small.stop();
    rmSync(model, { recursive: true });
  });

  test('an idle window sees what another one asks, hears, edits, renames and deletes', async () => {
    const one = await open();
    await one.ask('Hello, windows');
    const address = one.page.url();
    const two = new Chat(await one.page.context().newPage());
    await two.page.goto(address);
    await two.answers.first().waitFor();
    await one.page.bringToFront();
    await one.send('Endless, beside it');
    await until('words there, too', async () => /on and/.test((await two.answers.allTextContents())[1] ?? ''));
    await one.stopButton.click();
    await two.done();
    await one.ask('Bonjour');
    await until('the third turn', async () => /Et bonjour/.test((await two.answers.allTextContents())[2] ?? ''));

    // A branch is a version there; what is read stays.
    await one.edit(2, 'Hello again');
    await one.done();
    await two.questions.nth(2).getByTitle('Version 1 of 2').waitFor({ state: 'attached' });
    assert.match(await two.answers.nth(2).textContent(), /Et bonjour/);

    await one.page.getByRole('button', { name: /More for .*windows/ }).click();
    await one.page.getByRole('menuitem', { name: 'Rename' }).click();
    await one.page.getByRole('textbox', { name: 'New name' }).fill('Panes');
    await one.page.keyboard.press('Enter');
    await two.chats.getByRole('link', { name: 'Panes' }).waitFor();
    await one.page.getByRole('button', { name: /More for .*Panes/ }).click();
    await one.page.getByRole('menuitem', { name: 'Delete' }).click();
    await one.page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await two.chats.getByRole('link', { name: 'Panes' }).waitFor({ state: 'detached' });
    await two.page.getByText('not on the server').waitFor();
  });

  test('a question that failed in one window goes when another one goes on', async () => {
    const one = await open();
    await one.ask('Hello');
    const two = new Chat(await one.page.context().newPage());
    await two.page.goto(one.page.url());
    await two.answers.first().waitFor();
    await failOnce(two.page);
    await two.send('Hello, it fails');
    await two.page.getByText('The GPU is out of memory.').waitFor();
    await one.ask('Bonjour');
    await until('the other turn', async () => /Et bonjour/.test(await two.answers.last().textContent()));
    assert.deepEqual(await texts(two.questions), ['Hello', 'Bonjour']);
  });

  test('control characters are not searched for', async () => {
    const chat = await open();
    await chat.ask('Hello, wombat');
    const search = chat.page.getByRole('searchbox', { name: 'Search chats' });
    await search.fill('wom\0bat\x01');
    await until('it is found', async () => (await chat.page.locator('.found mark').textContent().catch(() => '')) === 'wombat');
    await search.fill('\0');
    await chat.page.waitForTimeout(400);
    assert.equal(await chat.page.locator('.error-line').count(), 0);
    assert.deepEqual(chat.page.faults, []);
  });
});
