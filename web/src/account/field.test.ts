import { expect, test } from 'vitest';
import { failureOf } from './field';

const fields = ['name', 'expires', 'spend_per_day'];

test('an error goes to the field that it begins with', () => {
  expect(failureOf(new Error('expires: a day is expected, found "x"'), fields))
    .toEqual({ field: 'expires', message: 'a day is expected, found "x"' });
  expect(failureOf(new Error('name is expected, found none'), fields))
    .toEqual({ field: 'name', message: 'name is expected, found none' });
});

test('any other is the form’s', () => {
  expect(failureOf(new Error('there is a key "x" already: name another'), fields))
    .toEqual({ field: null, message: 'there is a key "x" already: name another' });
  expect(failureOf(new Error(''), fields).message).not.toBe('');
});
