import { expect, test } from 'vitest';
import { dayOf, duration, short } from './format';

test('short numbers', () => {
  const wanted: [number, string][] = [[0, '0'], [999, '999'], [1000, '1k'], [1234, '1.2k'], [16384, '16k'], [131072, '131k'], [999_400, '999k'], [999_600, '1M'], [1_000_000, '1M'], [4_096_000, '4.1M']];
  for (const [value, text] of wanted) expect(short(value)).toBe(text);
});

test('durations', () => {
  expect(duration(420, 'en')).toBe('0.4 s');
  expect(duration(9960, 'en')).toBe('10 s');
  expect(duration(59_600, 'en')).toBe('1 min 0 s');
  expect(duration(185_000, 'zh')).toBe('3 分 5 秒');
});

test('days of the list', () => {
  const now = new Date(2026, 10, 27, 12);
  const at = (day: number, hour = 10) => new Date(2026, 10, day, hour).getTime() / 1000;
  expect(dayOf(at(27), now)).toBe('today');
  expect(dayOf(at(27, 0), now)).toBe('today');
  expect(dayOf(at(26, 23), now)).toBe('yesterday');
  expect(dayOf(at(26, 0), now)).toBe('yesterday');
  expect(dayOf(at(25), now)).toBe('week');
  expect(dayOf(at(10), now)).toBe('month');
  expect(dayOf(new Date(2026, 8, 3).getTime() / 1000, now)).toBe('2026-09');
});
