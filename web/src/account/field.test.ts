import { expect, test, vi } from 'vitest';
import { ServerError } from '../server';
import { failureOf } from './field';

// Node has none before version 21, and the language goes by it.
vi.stubGlobal('navigator', { languages: ['en'] });

const fields = ['name', 'expires', 'spend_per_day'];
const failure = (message: string) => failureOf(new ServerError(message, 400), fields);

test('an error goes to the field that it begins with', () => {
  expect(failure('expires: a day is expected, found "x"')).toEqual({ field: 'expires', message: 'A day is expected, found "x".' });
  expect(failure('name is expected, found none')).toEqual({ field: 'name', message: 'Name is expected, found none.' });
});

test('any other is the form’s', () => {
  expect(failure('there is a key "x" already: name another'))
    .toEqual({ field: null, message: 'There is a key "x" already: name another.' });
});
