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
