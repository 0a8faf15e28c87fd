import { expect, test } from 'vitest';
import { show, whole } from './format';

test.each([
  [null, 'count', '–'],
  [1234, 'count', '1,234'],
  [0.5, 'count', '0.5'],
  [0, 'seconds', '0'],
  [0.00045, 'seconds', '450 µs'],
  [0.01234, 'seconds', '12.3 ms'],
  [2.5, 'seconds', '2.5 s'],
  [180, 'seconds', '3 min'],
  [0.515, 'share', '51.5%'],
  [0.000083, 'share', '0.0083%'],
  [12.345, 'rate', '12.3'],
  [1234.5, 'rate', '1,235'],
  [0, 'bytes', '0 B'],
  [1_500_000, 'bytes', '1.5 MB'],
] as const)('%s as %s is %s', (value, unit, text) => {
  expect(show(value, unit, 'en')).toBe(text);
});

test('counters keep every digit', () => {
  expect(whole(9_007_199_254_740_991, 'en')).toBe('9,007,199,254,740,991');
});
