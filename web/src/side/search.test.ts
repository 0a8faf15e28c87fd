import { expect, test } from 'vitest';
import { cleaned } from './search';

test('control characters are not searched for', () => {
  expect(cleaned('wom\0bat')).toBe('wombat');
  expect(cleaned('\u0001 \u007f\u0085')).toBe('');
  expect(cleaned(' a\tb  c\n')).toBe('a\tb  c');
  expect(cleaned('袋熊 👩‍🔬')).toBe('袋熊 👩‍🔬');
});
