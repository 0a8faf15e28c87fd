import { expect, test } from 'vitest';
import type { Sample } from './prometheus';
import { History, increase, type Point } from './series';

const counter = (value: number, labels: Record<string, string> = {}): Sample => ({ labels, value });

test('counters that rose', () => {
  expect(increase([counter(10)], [counter(15)])).toBe(5);
  expect(increase([counter(10)], [counter(10)])).toBe(0);
  expect(increase([], [])).toBe(0);
});

test('a counter that fell has begun again from 0', () => {
  expect(increase([counter(100)], [counter(7)])).toBe(7);
});

test('each of several counters is looked at by itself', () => {
  const before = [counter(100, { model: 'a' }), counter(1, { model: 'b' })];
  // The sum rose, though one was started again.
  const after = [counter(500, { model: 'b' }), counter(2, { model: 'a' })];
  expect(increase(before, after)).toBe(2 + 499);
});

test('labels in another order are the same counter', () => {
  expect(increase([counter(4, { a: '1', b: '2' })], [counter(6, { b: '2', a: '1' })])).toBe(2);
});

test('a counter that is new counts from 0, one that is gone does not count', () => {
  expect(increase([], [counter(3, { status: '404' })])).toBe(3);
  expect(increase([counter(3, { status: '404' })], [])).toBe(0);
});

const every = (step: number, until: number, value = (time: number) => time): Point[] =>
  Array.from({ length: until / step }, (_, i) => ({ time: i * step, values: [value(i * step)] }));

test('new points are kept as they came', () => {
  const history = new History({ seconds: 100, fineSeconds: 20, coarseStep: 10 });
  const points = every(2, 20);
  points.forEach((point) => history.add(point));
  expect(history.points()).toEqual(points);
});

test('older points are averaged, the oldest leave', () => {
  const history = new History({ seconds: 100, fineSeconds: 20, coarseStep: 10 });
  every(2, 300).forEach((point) => history.add(point));
  const points = history.points();
  const times = points.map(({ time }) => time);
  expect(times).toEqual([...times].sort((a, b) => a - b));
  expect(times[0]).toBeGreaterThanOrEqual(298 - 100);
  expect(points.at(-1)).toEqual({ time: 298, values: [298] });
  expect(points).toContainEqual({ time: 218, values: [(210 + 212 + 214 + 216 + 218) / 5] });
});

test('an hour of scrapes stays few points', () => {
  const history = new History();
  every(2, 3 * 3600, () => 1).forEach((point) => history.add(point));
  const points = history.points();
  expect(points.length).toBeLessThan(620);
  expect(points.every(({ values }) => values[0] === 1)).toBe(true);
});

test('what is not known is left out of averages, and a gap stays a gap', () => {
  const history = new History({ seconds: 1000, fineSeconds: 4, coarseStep: 10 });
  const add = (time: number, value: number | null) => history.add({ time, values: [value, value] });
  const partly = (time: number) => history.add({ time, values: [6, null] });
  add(0, 2);
  partly(2);
  add(4, null);
  add(6, 8);
  [100, 102, 104, 106].forEach((time) => add(time, 1));
  expect(history.points().slice(0, 3)).toEqual([
    { time: 2, values: [4, 2] },
    { time: 4, values: [null, null] },
    { time: 6, values: [8, 8] },
  ]);
});

test('cleared, it is empty', () => {
  const history = new History({ seconds: 100, fineSeconds: 4, coarseStep: 10 });
  every(2, 50).forEach((point) => history.add(point));
  history.clear();
  expect(history.points()).toEqual([]);
});
