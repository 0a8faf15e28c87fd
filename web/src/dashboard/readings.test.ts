import { expect, test } from 'vitest';
import { parseScrape } from './prometheus';
import { hasAnswered, modelsOf, readingOf, secondsSinceStep, sinceStart, totalOf, totalsBy } from './readings';

const scrape = (of: { tokens: number; hits: number; stop: number; ok: number; first: number[]; running?: number }) =>
  parseScrape(`
fulmen:num_requests_running{model_name="a"} ${of.running ?? 0}
fulmen:num_requests_running{model_name="b"} 1
fulmen:num_requests_waiting{model_name="a"} 3
fulmen:kv_cache_usage_perc{model_name="a"} 0.25
fulmen:kv_cache_usage_perc{model_name="b"} 0.5
fulmen:prompt_tokens_total{model_name="a"} ${of.tokens}
fulmen:prefix_cache_queries_total{model_name="a"} ${of.tokens}
fulmen:prefix_cache_hits_total{model_name="a"} ${of.hits}
fulmen:request_success_total{finished_reason="stop",model_name="a"} ${of.stop}
fulmen:request_success_total{finished_reason="tool_calls",model_name="a"} 1
fulmen:request_success_total{finished_reason="length",model_name="b"} 2
http_requests_total{handler="/v1/models",method="GET",status="200"} ${of.ok}
http_requests_total{handler="",method="",status="404"} 7
fulmen:time_to_first_token_seconds_bucket{model_name="a",le="1"} ${of.first[0]}
fulmen:time_to_first_token_seconds_bucket{model_name="a",le="2"} ${of.first[1]}
fulmen:time_to_first_token_seconds_bucket{model_name="a",le="+Inf"} ${of.first[1]}
`);

const minuteAgo = { time: 1000, scrape: scrape({ tokens: 100, hits: 0, stop: 10, ok: 50, first: [10, 10] }) };
const before = { time: 1028, scrape: scrape({ tokens: 300, hits: 50, stop: 10, ok: 50, first: [10, 10] }) };
const now = { time: 1030, scrape: scrape({ tokens: 500, hits: 100, stop: 25, ok: 90, first: [10, 20], running: 2 }) };

test('gauges are of now, rates of the last step or minute', () => {
  expect(readingOf({ now, before, minuteAgo }, '')).toMatchObject({
    running: 3, waiting: 3, promptRate: 100, hits: 0.25, keysAndValues: 0.5,
    finished: 30, cut: 0, cancelled: 0, failed: 0, status2: 80, status4: 0,
    first50: 1.5, first95: 1.95, between50: null,
  });
});

test('of one model', () => {
  expect(readingOf({ now, before, minuteAgo }, 'b')).toMatchObject({
    running: 1, waiting: 0, promptRate: 0, hits: null, keysAndValues: 0.5, finished: 0, first50: null,
  });
});

test('the first scrape tells gauges alone, and the next ones no minute yet', () => {
  expect(readingOf({ now, before: null, minuteAgo: null }, '')).toMatchObject({
    running: 3, promptRate: null, hits: null, finished: null, status2: null, first50: null,
  });
  expect(readingOf({ now, before, minuteAgo: before }, '')).toMatchObject({ promptRate: 100, finished: null });
});

test('since the start', () => {
  expect(sinceStart(now.scrape, '')).toEqual({ first50: 1, between50: null, hits: 0.2 });
});

test('totals are what /metrics says', () => {
  expect(totalOf(now.scrape, 'fulmen:prompt_tokens_total', '')).toEqual(
    { metric: 'fulmen:prompt_tokens_total', label: '', value: 500 },
  );
  expect(totalsBy(now.scrape, 'fulmen:request_success_total', 'finished_reason', {})).toEqual([
    { metric: 'fulmen:request_success_total{finished_reason="stop"}', label: 'stop', value: 25 },
    { metric: 'fulmen:request_success_total{finished_reason="length"}', label: 'length', value: 2 },
    { metric: 'fulmen:request_success_total{finished_reason="tool_calls"}', label: 'tool_calls', value: 1 },
  ]);
});

test('what the server is about', () => {
  expect(modelsOf(now.scrape)).toEqual(['a', 'b']);
  expect(hasAnswered(now.scrape)).toBe(true);
  expect(hasAnswered(parseScrape('fulmen:num_requests_running{model_name="a"} 0\n'))).toBe(false);
  expect(secondsSinceStep(parseScrape('fulmen:seconds_since_step{model_name="a"} 42.5\n'))).toBe(42.5);
  expect(secondsSinceStep(now.scrape)).toBe(0);
});
