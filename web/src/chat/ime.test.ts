import { expect, test } from 'vitest';
import { CompositionGuard } from './ime';

const key = (over: Partial<{ isComposing: boolean; keyCode: number; timeStamp: number }> = {}) => ({ isComposing: false, keyCode: 13, timeStamp: 1000, ...over });

test('a plain Enter is nobody\'s but ours', () => {
  expect(new CompositionGuard().owns(key())).toBe(false);
});

test('keys while composing belong to the input method', () => {
  const guard = new CompositionGuard();
  expect(guard.owns(key({ isComposing: true }))).toBe(true);
  expect(guard.owns(key({ keyCode: 229 }))).toBe(true);
  guard.start();
  expect(guard.owns(key())).toBe(true);
});

test('so does the key that ended it, told just after', () => {
  const guard = new CompositionGuard();
  guard.start();
  guard.end(1000);
  expect(guard.owns(key({ timeStamp: 1005 }))).toBe(true);
  expect(guard.owns(key({ timeStamp: 1100 }))).toBe(false);
});
