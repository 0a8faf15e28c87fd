// What the dashboard shows of a scrape, and how it is reckoned from two of them.
import { bucketsBetween, quantile } from './percentiles';
import { groupBy, select, sum, type Labels, type Scrape } from './prometheus';
import { increase, type Value } from './series';

export interface TimedScrape {
  time: number; // seconds since 1970
  scrape: Scrape;
}

/** The scrapes that numbers of now are reckoned from; null where there was none then. */
export interface Recent {
  now: TimedScrape;
  before: TimedScrape | null;
  minuteAgo: TimedScrape | null;
}

export const percentiles = [0.5, 0.95, 0.99] as const;

// Why answers ended, as a chart can show it.
const reasons = {
  finished: ['stop', 'tool_calls'],
  cut: ['length', 'context', 'allowance', 'deadline'],
  cancelled: ['cancelled'],
  failed: ['error'],
} as const;

export const columns = [
  'running', 'waiting', 'promptRate', 'outputRate',
  'first50', 'first95', 'first99', 'between50', 'between95', 'between99',
  'hits', 'keysAndValues', 'states',
  'finished', 'cut', 'cancelled', 'failed',
  'status2', 'status3', 'status4', 'status5',
] as const;
export type Column = (typeof columns)[number];
export type Reading = Record<Column, Value>;

/** The labels of the samples of a model; those of all where it is ''. */
export function ofModel(model: string): Labels {
  return model === '' ? {} : { model_name: model };
}

export function modelsOf(scrape: Scrape): string[] {
  return [...groupBy(select(scrape, 'fulmen:num_requests_running'), 'model_name').keys()];
}

type Span = { from: TimedScrape; to: TimedScrape } | null;

function spanOf(from: TimedScrape | null, to: TimedScrape, shortest: number): Span {
  return from && to.time - from.time >= shortest ? { from, to } : null;
}

function increaseOf(span: Span, name: string, where: Labels): Value {
  return span && increase(select(span.from.scrape, name, where), select(span.to.scrape, name, where));
}

function rate(span: Span, name: string, where: Labels, seconds: number): Value {
  const rose = increaseOf(span, name, where);
  return rose === null ? null : (rose * seconds) / (span!.to.time - span!.from.time);
}

function share(part: Value, whole: Value): Value {
  return part === null || whole === null || whole === 0 ? null : part / whole;
}

function quantiles(span: Span, name: string, where: Labels): Value[] {
  if (!span) return percentiles.map(() => null);
  const bucket = `${name}_bucket`;
  const buckets = bucketsBetween(select(span.from.scrape, bucket, where), select(span.to.scrape, bucket, where));
  return percentiles.map((q) => quantile(q, buckets));
}

const firstToken = 'fulmen:time_to_first_token_seconds';
const betweenTokens = 'fulmen:inter_token_latency_seconds';
const answers = 'fulmen:request_success_total';
const exchanges = 'http_requests_total';

function answersAMinute(minute: Span, where: Labels) {
  const of = (names: readonly string[]) =>
    names.reduce<Value>((all, reason) => {
      const one = rate(minute, answers, { ...where, finished_reason: reason }, 60);
      return all === null || one === null ? null : all + one;
    }, 0);
  return {
    finished: of(reasons.finished),
    cut: of(reasons.cut),
    cancelled: of(reasons.cancelled),
    failed: of(reasons.failed),
  };
}

// Requests have no model: one that is refused never came to any.
function requestsAMinute(minute: Span) {
  const of = (hundred: string): Value => {
    if (!minute) return null;
    const samples = ({ scrape }: TimedScrape) =>
      select(scrape, exchanges).filter(({ labels }) => labels['status']?.startsWith(hundred));
    const rose = increase(samples(minute.from), samples(minute.to));
    return (rose * 60) / (minute.to.time - minute.from.time);
  };
  return { status2: of('2'), status3: of('3'), status4: of('4'), status5: of('5') };
}

/** All numbers of now, of one model or of all together. */
export function readingOf({ now, before, minuteAgo }: Recent, model: string): Reading {
  const where = ofModel(model);
  const step = spanOf(before, now, 0.1);
  // What is told per minute takes more than a glance: the first seconds would make it up.
  const minute = spanOf(minuteAgo, now, 9);
  const gauge = (name: string): Value => sum(select(now.scrape, name, where));
  // Models have memory of their own: of all together the fullest tells when one has to wait.
  const fullest = (name: string): Value => Math.max(0, ...select(now.scrape, name, where).map(({ value }) => value));
  const [first50 = null, first95 = null, first99 = null] = quantiles(minute, firstToken, where);
  const [between50 = null, between95 = null, between99 = null] = quantiles(minute, betweenTokens, where);
  return {
    running: gauge('fulmen:num_requests_running'),
    waiting: gauge('fulmen:num_requests_waiting'),
    promptRate: rate(step, 'fulmen:prompt_tokens_total', where, 1),
    outputRate: rate(step, 'fulmen:generation_tokens_total', where, 1),
    first50, first95, first99, between50, between95, between99,
    hits: share(
      increaseOf(minute, 'fulmen:prefix_cache_hits_total', where),
      increaseOf(minute, 'fulmen:prefix_cache_queries_total', where),
    ),
    keysAndValues: fullest('fulmen:kv_cache_usage_perc'),
    states: fullest('fulmen:state_cache_usage_perc'),
    ...answersAMinute(minute, where),
    ...requestsAMinute(minute),
  };
}

/** What can be told of all the time since the server's start, where the last minute tells nothing. */
export function sinceStart(scrape: Scrape, model: string): Partial<Reading> {
  const where = ofModel(model);
  const of = (name: string) => sum(select(scrape, name, where));
  const all = (name: string) => quantile(0.5, bucketsBetween([], select(scrape, `${name}_bucket`, where)));
  return {
    first50: all(firstToken),
    between50: all(betweenTokens),
    hits: share(of('fulmen:prefix_cache_hits_total'), of('fulmen:prefix_cache_queries_total')),
  };
}

/** A number just as /metrics has it. */
export interface Total {
  metric: string; // its name, and the label it was summed by
  label: string; // the value of that label, or ''
  value: number;
}

export function totalOf(scrape: Scrape, metric: string, model: string): Total {
  return { metric, label: '', value: sum(select(scrape, metric, ofModel(model))) };
}

export function totalsBy(scrape: Scrape, metric: string, label: string, where: Labels): Total[] {
  return [...groupBy(select(scrape, metric, where), label)]
    .map(([value, samples]) => ({ metric: `${metric}{${label}="${value}"}`, label: value, value: sum(samples) }))
    .sort((a, b) => b.value - a.value || (a.label < b.label ? -1 : 1));
}

export function hasAnswered(scrape: Scrape): boolean {
  return ['fulmen:num_requests_running', 'fulmen:num_requests_waiting', answers]
    .some((name) => sum(select(scrape, name)) > 0);
}

/** Since when the slowest engine with answers under way has made no step. */
export function secondsSinceStep(scrape: Scrape): number {
  return Math.max(0, ...select(scrape, 'fulmen:seconds_since_step').map(({ value }) => value));
}
