import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { getText, ServerError } from '../server';
import { problem, shown, watch } from './live';
import { columns } from './readings';

vi.mock('../server', async (original) => ({ ...(await original<typeof import('../server')>()), getText: vi.fn() }));

const page = Object.assign(new EventTarget(), { hidden: false });
const look = (away: boolean) => {
  page.hidden = away;
  page.dispatchEvent(new Event('visibilitychange'));
};
let tokens = 0;
const metrics = () => `
fulmen:num_requests_running{model_name="a"} 1
fulmen:generation_tokens_total{model_name="a"} ${(tokens += 20)}
`;
const rates = () => shown.value!.points('').map(({ values }) => values[columns.indexOf('outputRate')]);
let leave = () => {};

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('document', page);
  vi.stubGlobal('window', globalThis);
  vi.mocked(getText).mockReset().mockImplementation(async () => metrics());
});
afterEach(() => {
  leave();
  vi.useRealTimers();
});

test('scrapes every two seconds, not while the page is hidden, and leaves a gap for that time', async () => {
  leave = watch();
  await vi.advanceTimersByTimeAsync(4100);
  expect(getText).toHaveBeenCalledTimes(3);
  expect(shown.value!.models).toEqual(['a']);
  expect(rates()).toEqual([null, 10, 10]);

  look(true);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(getText).toHaveBeenCalledTimes(3);

  look(false);
  await vi.advanceTimersByTimeAsync(2100);
  expect(getText).toHaveBeenCalledTimes(5);
  // One point that says nothing was known, one whose rate is not known either.
  expect(rates()).toEqual([null, 10, 10, null, null, 10]);
});

test('says why a scrape failed, and goes on', async () => {
  vi.mocked(getText).mockRejectedValueOnce(new ServerError('', 503)).mockResolvedValueOnce('<html>');
  leave = watch();
  await vi.advanceTimersByTimeAsync(100);
  expect(problem.value).toMatchObject({ status: 503 });
  await vi.advanceTimersByTimeAsync(2000);
  expect(problem.value?.message).toBe('/metrics, line 1: a name is expected');
  await vi.advanceTimersByTimeAsync(2000);
  expect(problem.value).toBeNull();
});

test('whoever leaves is asked for nothing more', async () => {
  leave = watch();
  await vi.advanceTimersByTimeAsync(100);
  leave();
  await vi.advanceTimersByTimeAsync(20_000);
  expect(getText).toHaveBeenCalledTimes(1);
});
