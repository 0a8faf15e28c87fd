import { expect, test } from 'vitest';
import { compareMoney, currencySign, exactMoney, moneyShare, moneyText, parseMoney, roughMoney, sumMoney } from './money';

test.each([
  ['0', 0n],
  ['12.5', 12_500_000_000n],
  ['-0.000000001', -1n],
  ['9223372036.854775807', 9_223_372_036_854_775_807n],
])('%s is read and written as it is', (text, nanos) => {
  expect(parseMoney(text)).toBe(nanos);
  expect(moneyText(nanos)).toBe(text);
});

test.each(['', '.', '1.', '.5', '1,5', '1e3', '1.0000000001', '--1', 'x', '1 2'])('"%s" is no amount', (text) => {
  expect(parseMoney(text)).toBeNull();
});

test('sums keep every digit', () => {
  expect(sumMoney(['0.1', '0.2'])).toBe('0.3');
  expect(sumMoney(['9007199254.740993', '0.000000001'])).toBe('9007199254.740993001');
  expect(sumMoney([])).toBe('0');
});

test('amounts are compared by what they are worth', () => {
  expect(['10', '9.5', '-1', '9.50'].sort(compareMoney)).toEqual(['-1', '9.5', '9.50', '10']);
});

test('shares', () => {
  expect(moneyShare('1', '4')).toBe(0.25);
  expect(moneyShare('0', '0')).toBe(0);
});

test('every digit is shown', () => {
  expect(exactMoney('1234567.000156', 'CNY', 'zh')).toBe('¥1,234,567.000156');
  expect(exactMoney('5', 'USD', 'en')).toBe('$5.00');
  expect(exactMoney('-5.5', 'USD', 'en')).toBe('−$5.50');
  expect(exactMoney('credit', 'USD', 'en')).toBe('credit');
});

test('at a glance: two digits that count, never more than there is', () => {
  expect(roughMoney('99.9990804', 'CNY', 'zh')).toBe('¥99.99');
  expect(roughMoney('0.000467', 'CNY', 'zh')).toBe('¥0.00046');
  expect(roughMoney('0.5', 'CNY', 'zh')).toBe('¥0.50');
  expect(roughMoney('0', 'CNY', 'zh')).toBe('¥0.00');
  expect(roughMoney('12', 'CNY', 'zh')).toBe('¥12.00');
});

test('a currency has its sign, or its name', () => {
  expect(currencySign('CNY', 'zh')).toBe('¥');
  expect(currencySign('XYZ', 'en')).toBe('XYZ ');
  expect(currencySign('points', 'en')).toBe('points ');
});
