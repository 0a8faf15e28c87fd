import { expect, test } from 'vitest';
import { draftOf, emptyDraft, messageOf, type Draft } from './message';
import { newSessionName, titleOf } from './names';

const drafts: Draft[] = [
  { ...emptyDraft, text: 'Hello' },
  { ...emptyDraft, text: 'See this', files: [{ name: 'pasted.txt', text: 'one\ntwo' }] },
  { ...emptyDraft, text: '', files: [{ name: 'a.md', text: '```js\ncode\n```' }] },
  { ...emptyDraft, text: 'Two', files: [{ name: 'a.txt', text: 'first' }, { name: 'b.txt', text: 'second\n\n' }] },
  { ...emptyDraft, text: 'Three', files: [{ name: 'a', text: '```' }, { name: 'b', text: 'x' }, { name: 'c', text: '' }] },
  { ...emptyDraft, text: 'Picture', images: ['data:image/png;base64,AA'] },
  { ...emptyDraft, text: '', images: ['data:image/png;base64,AA'] },
];

test('a message tells the draft it was made of', () => {
  for (const draft of drafts) expect(draftOf(messageOf(draft))).toEqual(draft);
});

test('a text that looks a bit like a file is a text', () => {
  for (const text of ['[x]\n```\nopen', 'a\n\n[x]\nno fence', '```\ncode\n```']) {
    expect(draftOf({ role: 'user', content: text })).toEqual({ ...emptyDraft, text });
  }
});

test('titles are the first line, of 60 characters', () => {
  expect(titleOf('  One line\nand another')).toBe('One line');
  const long = titleOf('快'.repeat(80));
  expect([...long].length).toBe(60);
  expect(long.endsWith('…')).toBe(true);
});

test('names are letters and never the same', () => {
  const names = new Set(Array.from({ length: 100 }, newSessionName));
  expect(names.size).toBe(100);
  for (const name of names) expect(name).toMatch(/^chat-[a-z]{16}$/);
});
