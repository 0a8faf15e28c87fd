// Quantiles of what a histogram of Prometheus counted, as its histogram_quantile computes them.
import type { Sample } from './prometheus';
import { increase } from './series';

export interface Bucket {
  upper: number; // of what it counts, itself included
  count: number; // of all up to there, those of lower buckets too
}

function upperOf({ labels }: Sample): number {
  const le = labels['le'] ?? '';
  return le === '+Inf' ? Infinity : Number(le);
}

// What was observed between two scrapes: the buckets of several histograms together.
export function bucketsBetween(before: readonly Sample[], after: readonly Sample[]): Bucket[] {
  const uppers = [...new Set(after.map(upperOf))].sort((a, b) => a - b);
  let highest = 0;
  return uppers.map((upper) => {
    const of = (samples: readonly Sample[]) => samples.filter((each) => upperOf(each) === upper);
    // Buckets read while one was counted may be a step apart; counts never fall.
    highest = Math.max(highest, increase(of(before), of(after)));
    return { upper, count: highest };
  });
}

// Within a bucket values are taken to be spread evenly; of the last one, whose end is unknown, its
// start is all that can be said. Null where nothing was observed.
export function quantile(q: number, buckets: readonly Bucket[]): number | null {
  const last = buckets[buckets.length - 1];
  if (!last || buckets.length < 2 || last.upper !== Infinity || last.count === 0) return null;
  const rank = q * last.count;
  const index = buckets.findIndex(({ count }) => count >= rank);
  const bucket = buckets[index]!;
  if (bucket === last) return buckets[buckets.length - 2]!.upper;
  const below = buckets[index - 1];
  if (!below && bucket.upper <= 0) return bucket.upper;
  const start = below?.upper ?? 0;
  const before = below?.count ?? 0;
  const within = bucket.count - before;
  // Only where q is 0 and the first bucket is empty.
  if (within === 0) return start;
  return start + (bucket.upper - start) * ((rank - before) / within);
}
