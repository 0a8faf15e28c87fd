import { expect, test } from 'vitest';
import type { UsageLine } from './api';
import { usageCsv } from './csv';

const line: UsageLine = {
  requests: 3, prompt_tokens: 51, text_tokens: 33, cached_tokens: 18, image_tokens: 0, output_tokens: 52,
  reasoning_tokens: 0, charge: '9007199.254740993',
};
const numbers = 'requests,prompt_tokens,text_tokens,cached_tokens,image_tokens,output_tokens,reasoning_tokens';

test('amounts keep their digits', () => {
  expect(usageCsv('day', 'CNY', [{ ...line, day: '2026-11-27' }], (id) => id)).toBe(
    `day,${numbers},charge,currency\r\n2026-11-27,3,51,33,18,0,52,0,9007199.254740993,CNY\r\n`,
  );
});

test('a key has its name, in which nothing counts as part of the table or as a formula', () => {
  const csv = (name: string) => usageCsv('key', 'CNY', [{ ...line, key: 'key_1' }], () => name).split('\r\n')[1];
  expect(csv('laptop')).toMatch(/^key_1,laptop,3,/);
  expect(csv('a,"b"')).toMatch(/^key_1,"a,""b""",3,/);
  expect(csv('=HYPERLINK("x")')).toMatch(/^key_1,"'=HYPERLINK\(""x""\)",3,/);
  expect(csv('-1+1')).toMatch(/^key_1,'-1\+1,3,/);
});

test('a table of nothing has its head', () => {
  expect(usageCsv('model', 'CNY', [], (id) => id)).toBe(`model,${numbers},charge,currency\r\n`);
});
