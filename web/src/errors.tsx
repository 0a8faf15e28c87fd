// An error as one sentence beside what failed, with what can be done about it.
import type { ComponentChildren } from 'preact';
import { duration } from './format';
import { Icon } from './icons';
import { ServerError } from './server';
import { language, t } from './texts';

export function sentenceOf(error: unknown): string {
  const texts = t.value.errors;
  if (!(error instanceof ServerError)) return texts.unexpected;
  // What happens to everybody some day is told in the page's language.
  if (error.code === 'context_length_exceeded') return texts.full;
  if (error.code === 'insufficient_quota' && error.status === 402) return texts.noBalance;
  if (error.code === 'rate_limit_exceeded' && error.retryAfter) return texts.tooMany(duration(error.retryAfter * 1000, language.value));
  if (error.message) return sentence(error.message);
  if (error.status === 0) return texts.unreachable;
  return error.status === 429 || error.status === 503 ? texts.busy : texts.other(error.status);
}

/** Whether the same request would be refused once more, whoever sends it and when: what helps is in its sentence. */
export const isFinal = (error: unknown) => error instanceof ServerError && error.code === 'context_length_exceeded';

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
