import { expect, test } from 'vitest';
import { bounded } from './bounds';

test('lengths that fit stay', () => {
  for (const length of ['0', '0pt', '0.2778em', '-0.1667em', '+5em', '50pt', '2cm', '100%', '0.5width', 'thin', '']) {
    expect(bounded(length, 5)).toBe(length);
  }
});

test('longer ones are cut, whatever their unit and sign', () => {
  for (const length of ['5.1em', '20em', '500in', '50cm', '900px', '1e+21em']) expect(bounded(length, 5)).toBe('5em');
  expect(bounded('-400em', 5)).toBe('-5em');
  expect(bounded('+400em', 5)).toBe('+5em');
});
