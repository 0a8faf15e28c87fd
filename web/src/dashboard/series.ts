// Numbers over time: what counters rose by between two scrapes, and a bounded history of points.
import type { Sample } from './prometheus';

function seriesKey({ labels }: Sample): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}

// By how much counters rose together. One that fell belongs to a server that was started again and
// counted from 0; one that was not there before has been counted since.
export function increase(before: readonly Sample[], after: readonly Sample[]): number {
  const earlier = new Map(before.map((sample) => [seriesKey(sample), sample.value]));
  return after.reduce((all, sample) => {
    const was = earlier.get(seriesKey(sample)) ?? 0;
    return all + (sample.value >= was ? sample.value - was : sample.value);
  }, 0);
}

// Null: not known then, a gap in the chart.
export type Value = number | null;
export interface Point {
  time: number; // seconds since 1970
  values: readonly Value[];
}

export interface HistoryOptions {
  seconds: number; // that are kept
  fineSeconds: number; // of them, as they came
  coarseStep: number; // seconds that older points are averaged over
}

// An hour of a point every two seconds is more than a chart has pixels for.
const hour: HistoryOptions = { seconds: 3600, fineSeconds: 600, coarseStep: 10 };

function mean(values: readonly Value[]): Value {
  const known = values.filter((value): value is number => value !== null);
  if (known.length === 0) return null;
  return known.reduce((all, value) => all + value, 0) / known.length;
}

function averageOf(points: readonly Point[]): Point {
  const last = points[points.length - 1]!;
  return {
    time: last.time,
    values: last.values.map((_, i) => mean(points.map((point) => point.values[i] ?? null))),
  };
}

// Points in the order of their times; every one has as many values as the first.
export class History {
  private coarse: Point[] = [];
  private pending: Point[] = []; // left the fine ones, their step is not over
  private fine: Point[] = [];

  constructor(private readonly options: HistoryOptions = hour) {}

  add(point: Point): void {
    this.fine.push(point);
    const { seconds, fineSeconds, coarseStep } = this.options;
    while (this.fine[0]!.time < point.time - fineSeconds) {
      const old = this.fine.shift()!;
      const first = this.pending[0];
      // A gap stays one: it is never averaged away with its neighbours.
      const isGap = old.values.every((value) => value === null);
      const stepOver =
        first && Math.floor(old.time / coarseStep) !== Math.floor(first.time / coarseStep);
      if (stepOver || isGap) this.closeStep();
      this.pending.push(old);
      if (isGap) this.closeStep();
    }
    const oldest = point.time - seconds;
    while (this.coarse[0] && this.coarse[0].time < oldest) this.coarse.shift();
  }

  private closeStep(): void {
    if (this.pending.length > 0) this.coarse.push(averageOf(this.pending));
    this.pending = [];
  }

  points(): Point[] {
    return [...this.coarse, ...this.pending, ...this.fine];
  }

  clear(): void {
    this.coarse = [];
    this.pending = [];
    this.fine = [];
  }
}
