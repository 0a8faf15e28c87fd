// A newcomer, who has read nothing: opens the page, asks, stops, edits, branches, finds an old chat,
// switches to Chinese and sees what an answer cost. Only what is in sight is used.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser } from './support/browser.js';
import { Accounts } from './support/accounts.js';
import { Chat, until } from './support/chat.js';

const script = [
  { when: 'poem', answer: 'Roses are red, '.repeat(8000) },
  { when: 'capital', answer: 'The capital is **Rome**.' },
  { when: 'river', answer: 'The river is the Tiber.' },
  { when: 'Paris', answer: 'You mean **Paris**.' },
];
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

test('the walk', async () => {
  const page = await browser.page();
  // It asks for a key, and takes it.
  await accounts.signIn(page, accounts.key.secret);
  const chat = new Chat(page);
  await chat.box.waitFor();

  // Ask.
  const answer = await chat.ask('What is the capital of Italy?');
  assert.match(await answer.textContent(), /The capital is Rome\./);
  // What it cost stands under it.
  await until('the cost', async () => /CNY|¥/.test(await answer.textContent()));

  // Stop.
  await chat.newChat.click();
  await chat.send('Write a poem');
  await until('its first words', async () => /Roses/.test(await chat.answers.last().textContent()));
  await chat.stopButton.click();
  await chat.done();

  // Edit, which branches; and back.
  await chat.edit(0, 'Which river is in Rome?');
  await until('the new answer', async () => /Tiber/.test(await chat.conversation.textContent()));
  await chat.done();
  await chat.toVersion('Previous', chat.questions.first());
  await until('the poem', async () => /Roses/.test(await chat.conversation.textContent()));

  // An old chat.
  await page.getByRole('searchbox', { name: 'Search chats' }).fill('capital');
  await chat.chats.getByRole('link', { name: /capital/ }).click();
  await until('the old chat', async () => /Rome/.test(await chat.conversation.textContent()));

  // Chinese.
  await page.getByRole('link', { name: 'Settings' }).click();
  await page.getByRole('combobox', { name: 'Language' }).selectOption({ label: '中文' });
  await page.getByRole('link', { name: '新对话' }).waitFor();
  assert.deepEqual(page.faults, []);
});
