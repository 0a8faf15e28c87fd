// Scrapes of /metrics while the dashboard is looked at, and the hour of numbers made of them. It
// outlives the view, so that who comes back finds what was there.
import { signal } from '@preact/signals';
import { getText } from '../server';
import { parseScrape, type Scrape } from './prometheus';
import { columns, modelsOf, readingOf, type Reading, type TimedScrape } from './readings';
import { History, type Point } from './series';

const step = 2; // seconds between scrapes
const minute = 60;
// Somebody looked away: what happened meanwhile is not spread over the time as if it had been seen.
const gap = 5 * step;

export interface Shown {
  models: string[];
  scrape: Scrape;
  time: number;
  /** By model, '' being all of them. */
  latest: Map<string, Reading>;
  points: (model: string) => Point[];
}

export const shown = signal<Shown | null>(null);
/** Why the last scrape failed. */
export const problem = signal<Error | null>(null);

const histories = new Map<string, History>();
let recent: TimedScrape[] = []; // of the last minute

function take(now: TimedScrape) {
  const last = recent[recent.length - 1];
  const looked = last !== undefined && now.time - last.time <= gap;
  recent = looked ? recent.filter(({ time }) => time >= now.time - minute - step / 2) : [];
  const models = modelsOf(now.scrape);
  const latest = new Map<string, Reading>();
  const before = recent[recent.length - 1] ?? null;
  for (const model of ['', ...models]) {
    let history = histories.get(model);
    if (!history) histories.set(model, (history = new History()));
    if (last && !looked) history.add({ time: last.time + step, values: columns.map(() => null) });
    const reading = readingOf({ now, before, minuteAgo: recent[0] ?? null }, model);
    history.add({ time: now.time, values: columns.map((column) => reading[column]) });
    latest.set(model, reading);
  }
  recent.push(now);
  const points = (model: string) => histories.get(model)?.points() ?? [];
  shown.value = { models, scrape: now.scrape, time: now.time, latest, points };
}

/** Scrapes until the function it returns is called; not while the page is hidden. */
export function watch(): () => void {
  let timer = 0;
  let asking: AbortController | null = null;

  const stop = () => {
    clearTimeout(timer);
    asking?.abort();
    asking = null;
  };
  const scrape = async () => {
    const mine = (asking = new AbortController());
    const began = Date.now();
    try {
      const text = await getText('/metrics', mine.signal);
      if (mine.signal.aborted) return;
      take({ time: Date.now() / 1000, scrape: parseScrape(text) });
      problem.value = null;
    } catch (error) {
      if (mine.signal.aborted) return;
      problem.value = error as Error;
    }
    timer = window.setTimeout(scrape, Math.max(0, step * 1000 - (Date.now() - began)));
  };
  const follow = () => {
    stop();
    if (!document.hidden) void scrape();
  };

  document.addEventListener('visibilitychange', follow);
  follow();
  return () => {
    document.removeEventListener('visibilitychange', follow);
    stop();
  };
}
