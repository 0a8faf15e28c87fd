import { expect, test } from 'vitest';
import { groupBy, parseScrape, select, sum } from './prometheus';

test('reads samples with and without labels', () => {
  const scrape = parseScrape(
    '# HELP up Whether it is\n# TYPE up gauge\nup 1\n\n  # any comment\nfulmen:steps_total{model_name="a"} 2\n',
  );
  expect([...scrape.keys()]).toEqual(['up', 'fulmen:steps_total']);
  expect(scrape.get('up')).toEqual([{ labels: {}, value: 1 }]);
  expect(scrape.get('fulmen:steps_total')).toEqual([{ labels: { model_name: 'a' }, value: 2 }]);
});

test('escapes in labels are undone, and nothing else is', () => {
  const scrape = parseScrape(String.raw`m{a="\\n",b="say \"hi\"",c="two\nlines",d="{x=\"1\"},",e="研究组"} 1`);
  expect(scrape.get('m')![0]!.labels).toEqual({
    a: '\\n', b: 'say "hi"', c: 'two\nlines', d: '{x="1"},', e: '研究组',
  });
});

test.each([
  ['1', 1],
  ['1.5e+06', 1500000],
  ['8.301276005023893e-05', 8.301276005023893e-5],
  ['.5', 0.5],
  ['5.', 5],
  ['-0.25', -0.25],
  ['+Inf', Infinity],
  ['Inf', Infinity],
  ['-Inf', -Infinity],
  ['NaN', NaN],
  ['9007199254740991', Number.MAX_SAFE_INTEGER],
])('the value %s', (text, value) => {
  expect(parseScrape(`m ${text}`).get('m')![0]!.value).toBe(value);
});

test('spaces, tabs, a last comma, carriage returns and timestamps are in the format', () => {
  const scrape = parseScrape('a { x = "1" , y="2", }\t3  1395066363000\r\nb{} 4\r\n');
  expect(scrape.get('a')).toEqual([{ labels: { x: '1', y: '2' }, value: 3 }]);
  expect(scrape.get('b')).toEqual([{ labels: {}, value: 4 }]);
});

test.each([
  ['1up 1', 'a name is expected'],
  ['m', '"" is no number'],
  ['m one', '"one" is no number'],
  ['m 0x10', '"0x10" is no number'],
  ['m 1 soon', 'the line goes on after its value'],
  ['m 1 2 3', 'the line goes on after its value'],
  ['m{a="1"', ', or } is expected'],
  ['m{a="1} 1', 'a quote is never closed'],
  ['m{a=1} 1', 'a quote is expected'],
  ['m{a} 1', '= is expected'],
  ['m{="1"} 1', 'a label is expected'],
  ['m{,} 1', 'a label is expected'],
  ['m{a="1" b="2"} 1', ', or } is expected'],
  [String.raw`m{a="\t"} 1`, String.raw`\t is no escape`],
  ['<html>', 'a name is expected'],
])('%s is told by its line', (line, message) => {
  expect(() => parseScrape(`up 1\n${line}\n`)).toThrow(`/metrics, line 2: ${message}`);
});

test('a label called __proto__ is a label', () => {
  const { labels } = parseScrape('m{__proto__="x",constructor="y"} 1').get('m')![0]!;
  expect(Object.entries(labels)).toEqual([['__proto__', 'x'], ['constructor', 'y']]);
});

const answers = parseScrape(`
r{model="a",reason="stop"} 3
r{model="b",reason="stop"} 4
r{model="a",reason="length"} 5
`);

test('samples are selected by their labels and summed', () => {
  expect(sum(select(answers, 'r'))).toBe(12);
  expect(sum(select(answers, 'r', { model: 'a' }))).toBe(8);
  expect(sum(select(answers, 'r', { model: 'a', reason: 'stop' }))).toBe(3);
  expect(select(answers, 'r', { model: 'c' })).toEqual([]);
  expect(sum(select(answers, 'other'))).toBe(0);
});

test('samples are grouped by a label', () => {
  const groups = groupBy(select(answers, 'r'), 'reason');
  expect([...groups].map(([reason, samples]) => [reason, sum(samples)])).toEqual([['stop', 7], ['length', 5]]);
});
