import { expect, test } from 'vitest';
import { addDays, dayIn, lastDays } from './days';

test('the day of a moment is that of the zone', () => {
  const moment = new Date('2026-11-27T20:00:00Z');
  expect(dayIn('UTC', moment)).toBe('2026-11-27');
  expect(dayIn('Asia/Shanghai', moment)).toBe('2026-11-28');
  expect(dayIn('America/Los_Angeles', new Date('2026-11-27T03:00:00Z'))).toBe('2026-11-26');
  expect(dayIn('Mars/Olympus', moment)).toBe('2026-11-27');
});

test('days are counted over months, years and leap days', () => {
  expect(addDays('2026-12-31', 1)).toBe('2027-01-01');
  expect(addDays('2028-03-01', -1)).toBe('2028-02-29');
  expect(lastDays(3, '2026-03-01')).toEqual(['2026-02-27', '2026-02-28', '2026-03-01']);
});
