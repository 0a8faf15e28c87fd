// The page as its user knows it: by the names of things on it.
import assert from 'node:assert/strict';

export class Chat {
  constructor(page) {
    this.page = page;
    this.box = page.getByRole('textbox', { name: 'Message' });
    this.sendButton = page.getByRole('button', { name: 'Send' });
    this.stopButton = page.getByRole('button', { name: 'Stop' });
    this.turns = page.getByRole('article');
    this.questions = page.getByRole('article', { name: 'You' });
    this.answers = page.getByRole('article', { name: 'Answer' });
    this.status = page.getByRole('status');
    this.chats = page.getByRole('navigation', { name: 'Chats' });
    this.newChat = page.getByRole('link', { name: 'New chat' });
    this.conversation = page.getByRole('region', { name: 'Conversation' });
  }

  static async open(page, url) {
    const chat = new Chat(page);
    await page.goto(url);
    await chat.box.waitFor();
    return chat;
  }

  // Sends without waiting for the answer.
  async send(text) {
    await this.box.fill(text);
    await this.sendButton.click();
  }

  async done() {
    await this.stopButton.waitFor({ state: 'hidden' });
  }

  // Sends, and returns the last answer once it is whole.
  async ask(text) {
    const before = await this.answers.count();
    await this.send(text);
    await this.answers.nth(before).waitFor();
    await this.done();
    return this.answers.last();
  }

  async edit(index, text) {
    const turn = this.questions.nth(index);
    await turn.hover();
    await turn.getByRole('button', { name: 'Edit' }).click();
    const box = this.page.getByRole('textbox', { name: 'Edit message' });
    await box.fill(text);
    await turn.getByRole('button', { name: /^Send/ }).click();
  }

  // Goes to the version before or after that of a turn's question or answer.
  async toVersion(which, turn) {
    await turn.hover();
    await turn.getByRole('button', { name: `${which} version` }).click();
  }
}

export async function until(what, found, milliseconds = 10_000) {
  const end = Date.now() + milliseconds;
  for (;;) {
    if (await found()) return;
    assert.ok(Date.now() < end, `${what}: not within ${milliseconds} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
