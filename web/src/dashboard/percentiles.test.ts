import { expect, test } from 'vitest';
import { parseScrape, select } from './prometheus';
import { bucketsBetween, quantile, type Bucket } from './percentiles';

const buckets = (...counts: [number, number][]): Bucket[] => counts.map(([upper, count]) => ({ upper, count }));

// 100 in (0, 1], 300 in (1, 2], 600 in (2, 4].
const some = buckets([1, 100], [2, 400], [4, 1000], [Infinity, 1000]);

test.each([
  [0, 0],
  [0.05, 0.5],
  [0.1, 1],
  [0.25, 1.5],
  [0.4, 2],
  [0.5, 2 + 2 * (100 / 600)],
  [0.95, 2 + 2 * (550 / 600)],
  [1, 4],
])('the quantile %f is interpolated', (q, expected) => {
  expect(quantile(q, some)).toBeCloseTo(expected, 12);
});

test('above the last bound, the bound is told', () => {
  expect(quantile(0.99, buckets([1, 10], [2, 10], [Infinity, 20]))).toBe(2);
});

test('a first bucket that does not begin at 0 is not interpolated', () => {
  expect(quantile(0.5, buckets([-1, 10], [Infinity, 10]))).toBe(-1);
});

test('where nothing was observed, or a bucket is missing, there is none', () => {
  expect(quantile(0.5, buckets([1, 0], [Infinity, 0]))).toBeNull();
  expect(quantile(0.5, buckets([1, 5], [2, 6]))).toBeNull();
  expect(quantile(0.5, buckets([Infinity, 5]))).toBeNull();
  expect(quantile(0.5, [])).toBeNull();
});

test('empty buckets in front are passed over', () => {
  const late = buckets([1, 0], [2, 0], [4, 8], [Infinity, 8]);
  expect(quantile(0, late)).toBe(0);
  expect(quantile(0.5, late)).toBe(3);
});

const scrape = (lines: string) => select(parseScrape(lines), 'h_bucket');

test('buckets of two scrapes are what came between them', () => {
  const before = scrape('h_bucket{le="0.5"} 1\nh_bucket{le="1"} 4\nh_bucket{le="+Inf"} 5\n');
  const after = scrape('h_bucket{le="0.5"} 3\nh_bucket{le="1"} 9\nh_bucket{le="+Inf"} 10\n');
  expect(bucketsBetween(before, after)).toEqual(buckets([0.5, 2], [1, 5], [Infinity, 5]));
});

test('buckets may come in any order and of several models', () => {
  const after = scrape(`
h_bucket{model="a",le="+Inf"} 4
h_bucket{model="b",le="1"} 1
h_bucket{model="a",le="1"} 2
h_bucket{model="b",le="+Inf"} 3
`);
  expect(bucketsBetween([], after)).toEqual(buckets([1, 3], [Infinity, 7]));
});

test('after a restart what there is counts', () => {
  const before = scrape('h_bucket{le="1"} 100\nh_bucket{le="+Inf"} 200\n');
  const after = scrape('h_bucket{le="1"} 2\nh_bucket{le="+Inf"} 3\n');
  expect(bucketsBetween(before, after)).toEqual(buckets([1, 2], [Infinity, 3]));
});

test('counts that fall from bucket to bucket are lifted', () => {
  const after = scrape('h_bucket{le="1"} 5\nh_bucket{le="2"} 4\nh_bucket{le="+Inf"} 6\n');
  expect(bucketsBetween([], after)).toEqual(buckets([1, 5], [2, 5], [Infinity, 6]));
});
