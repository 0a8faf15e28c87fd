// The charts of the dashboard, as data.
import type { Unit } from './format';
import { ofModel, totalOf, totalsBy, type Column, type Total } from './readings';
import type { Scrape } from './prometheus';

export type CardName =
  'requests' | 'tokens' | 'firstToken' | 'betweenTokens' | 'cache' | 'memory' | 'answers' | 'exchanges';

export interface Card {
  name: CardName;
  unit: Unit;
  series: { column: Column; colour: 1 | 2 | 3 | 4 | 5 | 6 }[];
  totals: (scrape: Scrape, model: string) => Total[];
}

const plain = (...metrics: string[]) => (scrape: Scrape, model: string) =>
  metrics.map((metric) => totalOf(scrape, metric, model));

export const cards: readonly Card[] = [
  {
    name: 'requests',
    unit: 'count',
    series: [{ column: 'running', colour: 1 }, { column: 'waiting', colour: 2 }],
    totals: plain('fulmen:num_requests_running', 'fulmen:num_requests_waiting', 'fulmen:num_preemptions_total'),
  },
  {
    name: 'tokens',
    unit: 'rate',
    series: [{ column: 'outputRate', colour: 1 }, { column: 'promptRate', colour: 3 }],
    totals: plain('fulmen:generation_tokens_total', 'fulmen:prompt_tokens_total'),
  },
  {
    name: 'firstToken',
    unit: 'seconds',
    series: [{ column: 'first50', colour: 1 }, { column: 'first95', colour: 3 }, { column: 'first99', colour: 2 }],
    totals: plain('fulmen:time_to_first_token_seconds_count'),
  },
  {
    name: 'betweenTokens',
    unit: 'seconds',
    series: [
      { column: 'between50', colour: 1 }, { column: 'between95', colour: 3 }, { column: 'between99', colour: 2 },
    ],
    totals: plain('fulmen:inter_token_latency_seconds_count'),
  },
  {
    name: 'cache',
    unit: 'share',
    series: [{ column: 'hits', colour: 1 }],
    totals: plain('fulmen:prefix_cache_hits_total', 'fulmen:prefix_cache_queries_total'),
  },
  {
    name: 'memory',
    unit: 'share',
    series: [{ column: 'keysAndValues', colour: 1 }, { column: 'states', colour: 4 }],
    totals: plain('fulmen:snapshots', 'fulmen:snapshot_evictions_total', 'fulmen:spill_bytes'),
  },
  {
    name: 'answers',
    unit: 'rate',
    series: [
      { column: 'finished', colour: 1 }, { column: 'cut', colour: 2 },
      { column: 'cancelled', colour: 3 }, { column: 'failed', colour: 6 },
    ],
    totals: (scrape, model) =>
      totalsBy(scrape, 'fulmen:request_success_total', 'finished_reason', ofModel(model)),
  },
  {
    name: 'exchanges',
    unit: 'rate',
    series: [
      { column: 'status2', colour: 1 }, { column: 'status3', colour: 3 },
      { column: 'status4', colour: 2 }, { column: 'status5', colour: 6 },
    ],
    totals: (scrape) => totalsBy(scrape, 'http_requests_total', 'status', {}),
  },
];
