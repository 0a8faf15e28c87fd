// An error as one sentence beside what failed, with what can be done about it.
import type { ComponentChildren } from 'preact';
import { Icon } from './icons';
import { ServerError } from './server';
import { t } from './texts';

export function sentenceOf(error: unknown): string {
  const texts = t.value.errors;
  if (!(error instanceof ServerError)) return texts.unexpected;
  if (error.message) return sentence(error.message);
  if (error.status === 0) return texts.unreachable;
  return error.status === 429 || error.status === 503 ? texts.busy : texts.other(error.status);
}

function sentence(text: string): string {
  const upper = text[0]!.toUpperCase() + text.slice(1);
  return /[.!?。！？]$/.test(upper) ? upper : `${upper}.`;
}

export function ErrorLine({ error, children }: { error: unknown; children?: ComponentChildren }) {
  return (
    <p class="error-line">
      <Icon name="alert" />
      <span>{sentenceOf(error)}</span>
      {children}
    </p>
  );
}
