import { expect, test } from 'vitest';
import { Splitter } from './splitter';

const text = [
  'A paragraph\nof two lines.', '# Heading', '- one\n- two\n\n  with more', '```js\nlet a;\n\n# no heading\n```', '> quote\nlazy', '1. x\n2. y',
  '| a | b |\n|--|--|\n| 1 | 2 |', '$$\nx\n\n- y\n$$', '---', 'Underlined\n===', '    indented', '[r]: https://x.example', 'The end [r].',
].join('\n\n');

const split = (source: string) => {
  const splitter = new Splitter();
  splitter.update(source, false);
  return splitter;
};

test('blocks put together are the text', () => {
  const { closed, tail } = split(text);
  expect(closed.join('') + tail).toBe(text);
  expect(closed.length).toBe(13);
});

test('a text that grows by characters is cut as the whole is, and what is closed stays', () => {
  const splitter = new Splitter();
  let before: string[] = [];
  for (let length = 1; length <= text.length; length++) {
    splitter.update(text.slice(0, length), true);
    expect(splitter.closed.slice(0, before.length)).toEqual(before);
    expect(splitter.closed.join('') + splitter.tail).toBe(text.slice(0, length));
    before = [...splitter.closed];
  }
  splitter.update(text, false);
  expect(splitter.closed).toEqual(split(text).closed);
  expect(splitter.version).toBe(0);
});

test('a long list is cut into parts, the same ones as it grows', () => {
  const list = Array.from({ length: 50 }, (_, at) => `${at + 1}. item\n    - inner\n`).join('');
  const whole = split(list);
  expect(whole.closed.map((part) => part.slice(0, 8))).toEqual(['1. item\n', '21. item', '41. item']);
  const growing = new Splitter();
  for (let length = 1; length < list.length; length += 7) growing.update(list.slice(0, length), true);
  expect(growing.closed).toEqual(whole.closed.slice(0, 2));
  growing.update(list, false);
  expect(growing.closed).toEqual(whole.closed);
});

test('a block that is longer than a step is one block', () => {
  const splitter = new Splitter();
  const long = 'word '.repeat(30_000);
  for (let steps = 0; !splitter.update(long, false); steps++) expect(steps).toBeLessThan(5);
  expect(splitter.closed).toEqual([long]);
});

test('another text is cut anew', () => {
  const splitter = split('one\n\ntwo');
  splitter.update('other', true);
  expect([splitter.version, splitter.closed, splitter.tail]).toEqual([1, [], 'other']);
});

test('a long text is cut in steps', () => {
  const long = 'word '.repeat(30).concat('\n\n').repeat(1000);
  const splitter = new Splitter();
  let steps = 1;
  while (!splitter.update(long, false)) steps++;
  expect(steps).toBeGreaterThan(2);
  expect(splitter.closed.length).toBe(1000);
});
