// A chat, from the first question to the versions of a turn, through reloads and other browsers.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Server } from '../clients/support/server.js';
import { Browser } from './support/browser.js';
import { Chat, until } from './support/chat.js';

const endless = 'on and '.repeat(4000);
const script = [
  { when: 'thinking', answer: '<think>\nHm, hm.\n</think>\nDone: thought.' },
  { when: 'Endless', answer: endless },
  { when: 'Hello', answer: 'Hello to you, too.' },
  { when: 'Bonjour', answer: 'Et bonjour.' },
  { when: 'third', answer: 'A third answer.' },
];
const running = (server) => server.metric('fulmen:num_requests_running');

describe('chat', () => {
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

  test('asks, hears, and sees what it came to', async () => {
    const chat = await open();
    const answer = await chat.ask('Hello there');
    assert.match(await answer.textContent(), /Hello to you, too\./);
    assert.match(await answer.textContent(), /tokens/);
    assert.match(await chat.page.getByRole('meter', { name: 'Context' }).textContent(), /^\d+ \/ 16k$/);
    assert.deepEqual(chat.page.faults, []);
  });

  test('thoughts are folded away, and open', async () => {
    const chat = await open();
    const answer = await chat.ask('This takes thinking');
    const thoughts = answer.getByText('Hm, hm.');
    assert.equal(await thoughts.isVisible(), false);
    await answer.locator('summary').first().click();
    assert.equal(await thoughts.isVisible(), true);
    assert.equal(await answer.getByText('Done: thought.').isVisible(), true);

    // As much so when the chat is read again.
    await chat.page.reload();
    await answer.getByText('Done: thought.').waitFor();
    assert.equal(await thoughts.isVisible(), false);
    assert.ok(!(await answer.textContent()).includes('think>'));
  });

  test('an answer comes in pieces; Stop ends it within a step, and keeps what is there', async () => {
    const chat = await open();
    await chat.send('Endless, please');
    const answer = chat.answers.last();
    await until('the first words', async () => /on and/.test(await answer.textContent()));
    const early = (await answer.textContent()).length;
    await until('more words', async () => (await answer.textContent()).length > early + 200);
    assert.equal(await running(server), 1);
    await chat.page.keyboard.press('Escape');
    await chat.done();
    await server.until('fulmen:num_requests_running', 0);
    const stopped = await answer.textContent();
    assert.ok(stopped.length < endless.length);

    // It is still there after a reload, and the conversation goes on behind it.
    await chat.page.reload();
    await chat.answers.last().waitFor();
    assert.match(await chat.answers.last().textContent(), /on and/);
    assert.match(await (await chat.ask('Hello')).textContent(), /Hello to you/);
    assert.equal(await chat.answers.count(), 2);
  });

  test('an edited question is a version beside the old one', async () => {
    const chat = await open();
    await chat.ask('Hello');
    await chat.ask('Hello again');
    await chat.edit(1, 'Bonjour');
    await until('the new answer', async () =>
      /Et bonjour/.test((await chat.answers.allTextContents()).join()),
    );
    await chat.done();
    assert.equal(await chat.answers.count(), 2);
    await chat.questions.nth(1).getByTitle('Version 2 of 2').waitFor({ state: 'attached' });
    await chat.toVersion('Previous', chat.questions.nth(1));
    await until('the old answer', async () =>
      /Hello to you/.test(await chat.answers.nth(1).textContent()),
    );
    await chat.toVersion('Next', chat.questions.nth(1));
    await until('the new one', async () =>
      /Et bonjour/.test(await chat.answers.nth(1).textContent()),
    );
  });

  test('a second try is a version of the answer, from what was read before', async () => {
    const chat = await open();
    await chat.ask('Hello');
    await chat.ask('Say a third');
    const cached = await server.metric('fulmen:prefix_cache_hits_total');
    const turn = chat.answers.nth(1);
    await turn.hover();
    await turn.getByRole('button', { name: 'Try again' }).click();
    await chat.answers.last().getByTitle('Version 2 of 2').waitFor({ state: 'attached' });
    await chat.done();
    assert.equal(await chat.answers.count(), 2);
    assert.ok((await server.metric('fulmen:prefix_cache_hits_total')) > cached);
  });

  test('a reload, and another browser, read along with an answer under way', async () => {
    const chat = await open();
    await chat.send('Endless, once more');
    await until('words', async () => /on and/.test(await chat.answers.last().textContent()));
    const address = chat.page.url();
    await chat.page.reload();
    await until('more words', async () => /on and/.test(await chat.answers.last().textContent()));
    await chat.stopButton.waitFor();

    const other = await Chat.open(await browser.page(), address);
    await other.stopButton.waitFor();
    await until('words there, too', async () =>
      /on and/.test(await other.answers.last().textContent()),
    );
    await chat.page.close(); // nobody but the other one reads it now
    assert.equal(await running(server), 1);
    await other.stopButton.click();
    await other.done();
    await server.until('fulmen:num_requests_running', 0);
  });

  test('a closed tab leaves its answer running to the end', async () => {
    const chat = await open();
    await chat.send('Endless, alone');
    await until('words', async () => /on and/.test(await chat.answers.last().textContent()));
    const address = chat.page.url();
    await chat.page.close();
    assert.equal(await running(server), 1);
    await server.until('fulmen:num_requests_running', 0);
    const later = await Chat.open(await browser.page(), address);
    await until('the whole answer', async () =>
      (await later.answers.last().textContent()).length > endless.length / 2,
    );
  });

  test('chats are listed, found, renamed and deleted', async () => {
    const chat = await open();
    await chat.ask('Hello, wombat');
    await chat.newChat.click();
    await chat.ask('Bonjour, quokka');
    await chat.page.getByRole('searchbox', { name: 'Search chats' }).fill('WOMBAT');
    const found = chat.chats.getByRole('link', { name: /wombat/ });
    await found.waitFor();
    await until('others are hidden', async () =>
      (await chat.chats.getByRole('link', { name: /quokka/ }).count()) === 0,
    );
    await found.click();
    await until('the old chat', async () =>
      /Hello to you/.test(await chat.conversation.textContent()),
    );
  });

  test('Stop before the server has the request is not lost', async () => {
    const chat = await open();
    await chat.page.route('**/v1/chat/completions', async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 500));
      await route.continue();
    });
    await chat.send('Endless, no');
    await chat.page.keyboard.press('Escape');
    await chat.done();
    await server.until('fulmen:num_requests_running', 0);
  });

  test('a chat that is being answered can be renamed, and deleted', async () => {
    const chat = await open();
    await chat.send('Endless, to be deleted');
    await until('words', async () => /on and/.test(await chat.answers.last().textContent()));
    await chat.page.getByRole('button', { name: /More for .*to be deleted/ }).click();
    await chat.page.waitForTimeout(300); // the answer grows meanwhile
    await chat.page.getByRole('menuitem', { name: 'Delete' }).click();
    await chat.page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await server.until('fulmen:num_requests_running', 0);
    await until('it is gone', async () =>
      (await chat.chats.getByRole('link', { name: /to be deleted/ }).count()) === 0,
    );
  });

  test('two windows on one chat lose nothing of each other', async () => {
    const one = await open();
    await one.ask('Hello');
    const two = await Chat.open(await browser.page(), one.page.url());
    await two.answers.first().waitFor();
    await one.send('Endless, in the first');
    await until('words', async () => /on and/.test(await one.answers.last().textContent()));
    await two.send('Bonjour');
    await two.page.waitForTimeout(500);
    await one.stopButton.click();
    await one.done();
    const kept = async () => {
      const { data } = await (await fetch(`${server.url}/v1/sessions?search=in%20the%20first`)).json();
      return data[0];
    };
    await until('the turn is kept', async () => (await kept())?.turns === 2);
    // What the second had to say is on its page or in its box.
    const said = (await two.conversation.textContent()) + (await two.box.inputValue());
    assert.match(said, /Bonjour/);
  });

  test('a draft survives a reload, and each chat has its own', async () => {
    const chat = await open();
    await chat.ask('Hello');
    await chat.box.fill('half a thought');
    await chat.page.reload();
    await chat.answers.last().waitFor();
    assert.equal(await chat.box.inputValue(), 'half a thought');
    await chat.newChat.click();
    assert.equal(await chat.box.inputValue(), '');
  });

  test('Enter within an input method sends nothing', async () => {
    const chat = await open();
    await chat.box.fill('你好');
    for (const event of [
      { key: 'Enter', isComposing: true },
      { key: 'Enter', keyCode: 229 },
    ]) {
      await chat.box.evaluate(
        (box, init) => box.dispatchEvent(new KeyboardEvent('keydown', { bubbles: true, cancelable: true, ...init })),
        event,
      );
    }
    await chat.page.waitForTimeout(200);
    assert.equal(await chat.answers.count(), 0);
    assert.equal(await chat.box.inputValue(), '你好');
    await chat.box.fill('Hello');
    await chat.box.press('Enter');
    await chat.answers.first().waitFor();
  });

  test('?q= fills the box and sends nothing', async () => {
    const chat = await open();
    await chat.page.goto(`${server.url}/?q=Hello%20%3Cb%3E`);
    await until('the text', async () => (await chat.box.inputValue()) === 'Hello <b>');
    await chat.page.waitForTimeout(300);
    assert.equal(await chat.answers.count(), 0);
    assert.equal(await running(server), 0);
  });

  test('speaks Chinese, where it is asked to or the browser does', async () => {
    const chat = await open();
    await chat.page.getByRole('link', { name: 'Settings' }).click();
    await chat.page.getByRole('combobox', { name: 'Language' }).selectOption({ label: '中文' });
    await until('the language', async () =>
      (await chat.page.locator('html').getAttribute('lang')).startsWith('zh'),
    );
    await chat.page.getByRole('link', { name: '新对话' }).waitFor();
    const other = await browser.page({ locale: 'zh-CN' });
    await other.goto(server.url);
    await other.getByRole('link', { name: '新对话' }).waitFor();
  });

  test('says started and done to who listens, not every token', async () => {
    const chat = await open();
    await chat.page.evaluate(() => {
      window.heard = [];
      for (const live of document.querySelectorAll('[aria-live], [role=status], [role=alert], [role=log]')) {
        new MutationObserver(() => window.heard.push(live.textContent)).observe(live, {
          childList: true,
          characterData: true,
          subtree: true,
        });
      }
    });
    await chat.ask('Hello');
    const heard = await chat.page.evaluate(() => window.heard.filter((text) => text !== ''));
    assert.ok(heard.length >= 2 && heard.length <= 4, JSON.stringify(heard));
    assert.ok(heard.every((text) => !text.includes('Hello to you')));
  });
});
