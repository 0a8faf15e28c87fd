import { expect, test } from 'vitest';
import type { Session } from '../types';
import { treeOf, versionsOf, wayOf } from './tree';

const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };

// A session whose answers have these ids; "?" has none.
function session(name: string, created: number, ids: string[]): Session {
  return {
    namespace: '', name, model: '', chat_format: null, created, used: created, expires: null, metadata: {}, under_way: null, system: '',
    messages: ids.flatMap((id, at) => [{ role: 'user' as const, content: `${id}${at}` }, { role: 'assistant' as const, content: `answer ${id}` }]),
    turns: ids.map((id) => ({ messages: 2, tokens: 10, answer: id === '?' ? null : { id, created: 0, model: 'm', finish_reason: 'stop', usage } })),
  };
}

const keys = (steps: ReturnType<typeof wayOf>) => steps.map(({ turn, siblings }) => `${turn.key}:${siblings.indexOf(turn) + 1}/${siblings.length}`);

test('branches share their first turns', () => {
  const root = treeOf([session('b', 2, ['one', 'other']), session('a', 1, ['one', 'two', 'three']), session('c', 3, ['new'])]);
  expect(keys(wayOf(root, 'a'))).toEqual(['one:1/2', 'two:1/2', 'three:1/1']);
  expect(keys(wayOf(root, 'b'))).toEqual(['one:1/2', 'other:2/2']);
  expect(keys(wayOf(root, 'c'))).toEqual(['new:2/2']);
  expect(root.children[0]!.sessions).toEqual(['a', 'b']);
});

test('branches made within a second keep their order', () => {
  const [first, second] = [session('z', 1, ['one']), session('a', 1, ['two'])];
  first!.metadata = { made: '1500' };
  second!.metadata = { made: '1900' };
  expect(treeOf([second!, first!]).children.map(({ key }) => key)).toEqual(['one', 'two']);
});

test('turns without an answer of their own are told apart by their messages', () => {
  const root = treeOf([session('a', 1, ['?', 'x']), session('b', 2, ['?', 'y'])]);
  expect(root.children.length).toBe(1);
  expect(wayOf(root, 'a')[0]!.turn.messages.map(({ content }) => content)).toEqual(['?0', 'answer ?']);
});

test('a turn under way is the last of its branch', () => {
  const pending = new Map([['b', { key: 'k', messages: [{ role: 'user' as const, content: 'again' }] }]]);
  const root = treeOf([session('a', 1, ['one', 'two']), session('b', 2, ['one'])], pending);
  expect(keys(wayOf(root, 'b'))).toEqual(['one:1/1', 'k:2/2']);
  expect(wayOf(root, 'b')[1]!.turn.pending).toBe('b');
  expect(keys(wayOf(root, 'a'))).toEqual(['one:1/1', 'two:1/2']);
});

test('a fork without a turn of its own adds nothing', () => {
  const root = treeOf([session('a', 1, ['one', 'two']), session('b', 2, ['one'])]);
  expect(keys(wayOf(root, 'a'))).toEqual(['one:1/1', 'two:1/1']);
});

test('versions are other questions, or other answers to the same one', () => {
  const sessions = [session('a', 1, ['x']), session('b', 2, ['y']), session('c', 3, ['z'])];
  for (const each of sessions) each.messages[0]!.content = each.name === 'c' ? 'another' : 'the same';
  const [step] = wayOf(treeOf(sessions), 'b');
  const names = (of: 'question' | 'answer') => versionsOf(step!, of).versions.map((turns) => turns.map(({ key }) => key).join());
  expect([names('question'), versionsOf(step!, 'question').at]).toEqual([['x,y', 'z'], 0]);
  expect([names('answer'), versionsOf(step!, 'answer').at]).toEqual([['x', 'y'], 1]);
});
