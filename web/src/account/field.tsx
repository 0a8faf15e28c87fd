// A field of a form with its label, what to know of it, and what the server said is wrong with it.
import { useId } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import { sentenceOf } from '../errors';
import { ServerError } from '../server';

/** What a request failed with, told where it belongs: under a field, or under the form. */
export interface Failure {
  field: string | null;
  message: string;
}

/** The server begins with the field's name, where it is about one: "expires: a day is expected …". */
export function failureOf(error: unknown, fields: readonly string[]): Failure {
  if (!(error instanceof ServerError)) return { field: null, message: sentenceOf(error) };
  const { message, status } = error;
  for (const field of fields) {
    const about = `${field}: `;
    if (message.startsWith(about)) {
      return { field, message: sentenceOf(new ServerError(message.slice(about.length), status)) };
    }
    if (message.startsWith(`${field} is expected`)) return { field, message: sentenceOf(error) };
  }
  return { field: null, message: sentenceOf(error) };
}

/** For the input, which is the field's own. */
interface InputAttributes {
  id: string;
  name: string;
  'aria-invalid': boolean;
  'aria-describedby'?: string;
}

interface FieldProps {
  name: string;
  label: string;
  hint?: string;
  failure: Failure | null;
  children: (attributes: InputAttributes) => ComponentChildren;
}

export function Field({ name, label, hint, failure, children }: FieldProps) {
  const id = useId();
  const wrong = failure?.field === name;
  const described = [hint && `${id}-hint`, wrong && `${id}-error`].filter(Boolean).join(' ');
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({ id, name, 'aria-invalid': wrong, ...(described ? { 'aria-describedby': described } : {}) })}
      {hint && <small id={`${id}-hint`}>{hint}</small>}
      {wrong && <p class="error" id={`${id}-error`} role="alert">{failure.message}</p>}
    </div>
  );
}

export function FormError({ failure }: { failure: Failure | null }) {
  return failure && failure.field === null ? <p class="error" role="alert">{failure.message}</p> : null;
}

/** What was typed, without the fields that were left empty. */
export function typed(form: HTMLFormElement): Record<string, string> {
  const pairs = [...new FormData(form)].map(([name, value]): [string, string] => [name, String(value).trim()]);
  return Object.fromEntries(pairs.filter(([, value]) => value !== ''));
}
