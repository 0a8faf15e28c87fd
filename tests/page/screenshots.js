// Makes the pictures of docs/page.md: tests/page/run.sh FULMEN tests/page/screenshots.js
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Accounts } from './support/accounts.js';
import { Browser, sizes } from './support/browser.js';
import { Chat } from './support/chat.js';

const folder = join(import.meta.dirname, '../../docs/images');
const script = [
  {
    when: 'binary search',
    answer:
      '<think>\nA halving search. I should give its invariant, too.\n</think>\n' +
      'The window `[low, high)` always holds the place where `x` belongs:\n\n' +
      '```python\ndef find(items, x):\n    low, high = 0, len(items)\n    while low < high:\n' +
      '        middle = (low + high) // 2\n        if items[middle] < x:\n            low = middle + 1\n' +
      '        else:\n            high = middle\n    return low  # the first that is not less\n```\n\n' +
      'Each step halves it, so it takes $\\lceil \\log_2 (n + 1) \\rceil$ of them:\n\n' +
      '| items | steps |\n|---:|---:|\n| 1,000 | 10 |\n| 1,000,000 | 20 |\n',
  },
  { when: '', answer: 'Gladly.' },
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

const signIn = async (secret, options) => {
  const page = await browser.page(options);
  await accounts.signIn(page, secret);
  await new Chat(page).box.waitFor();
  return page;
};
const shoot = (page, name) => page.screenshot({ path: join(folder, `page-${name}.png`) });

test('the pictures', async () => {
  const page = await signIn(accounts.key.secret);
  const chat = new Chat(page);
  for (const question of ['A name for a sailing boat', 'Letter to the landlord', 'Plan for a herb garden']) {
    await chat.ask(question);
    await chat.newChat.click();
  }
  await chat.ask('Write a binary search in Python. How many steps does it take?');
  await page.mouse.move(0, 0);
  await page.waitForTimeout(500);
  await shoot(page, 'chat');

  const phone = await signIn(accounts.key.secret, { viewport: sizes.phone, colorScheme: 'dark', deviceScaleFactor: 2 });
  await phone.goto(page.url());
  await new Chat(phone).answers.first().waitFor();
  await phone.waitForTimeout(500);
  await shoot(phone, 'phone');

  await page.goto(`${accounts.server.url}/#/settings`);
  await page.waitForTimeout(500);
  await shoot(page, 'settings');

  const admin = await signIn(accounts.admin, { viewport: { width: 1280, height: 1000 } });
  await admin.goto(`${accounts.server.url}/#/dashboard`);
  for (let i = 0; i < 12; ++i) {
    await fetch(`${accounts.server.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${accounts.key.secret}` },
      body: JSON.stringify({
        messages: [{ role: 'user', content: `Once more ${i}: a binary search, please` }],
        max_tokens: 20 + 13 * ((i * 5) % 7),
      }),
    });
    await admin.waitForTimeout(2000);
  }
  await shoot(admin, 'dashboard');
  await admin.goto(`${accounts.server.url}/#/keys`);
  await admin.waitForTimeout(1000);
  await shoot(admin, 'keys');
});
