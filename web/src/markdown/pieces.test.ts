import { expect, test } from 'vitest';
import { linesOf } from './pieces';

test('a tree of code becomes lines', () => {
  const tree = { children: ['a\n', { scope: 'comment', children: ['one\ntwo ', { scope: 'title.function', children: ['f'] }] }, '\nend'] };
  expect(linesOf(tree)).toEqual([
    [['', 'a']], [['comment', 'one']], [['comment', 'two '], ['title', 'f']], [['', 'end']],
  ]);
});
