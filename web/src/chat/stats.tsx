// What an answer took: one quiet line, and all of it on demand.
import { exactMoney, roughMoney } from '../account/money';
import { dateTime, duration, number, rate, short } from '../format';
import { language, t } from '../texts';
import type { Answer } from '../types';

function speedOf({ timings }: Answer): string | null {
  return timings && timings.predicted_ms > 0 ? rate(timings.predicted_n / timings.predicted_ms * 1000) : null;
}

function costOf({ usage: { cost, currency } }: Answer): string | null {
  return cost && currency ? roughMoney(cost, currency, language.value) : null;
}

function lineOf(answer: Answer): string[] {
  const cached = answer.usage.prompt_tokens_details?.cached_tokens ?? 0;
  const speed = speedOf(answer);
  const cost = costOf(answer);
  return [
    ...(answer.finish_reason === 'cancelled' ? [t.value.wasStopped] : []),
    t.value.tokens(short(answer.usage.completion_tokens)),
    ...(speed ? [t.value.tokensPerSecond(speed)] : []),
    ...(cached > 0 ? [t.value.cachedTokens(short(cached))] : []),
    ...(cost ? [cost] : []),
  ];
}

function rowsOf(answer: Answer): [string, string][] {
  const names = t.value.details;
  const now = language.value;
  const { usage, timings } = answer;
  const rows: [string, string | null][] = [
    [names.model, answer.model],
    [names.time, dateTime(answer.created, now)],
    [names.prompt, number(usage.prompt_tokens, now)],
    [names.cached, number(usage.prompt_tokens_details?.cached_tokens ?? 0, now)],
    [names.generated, number(usage.completion_tokens, now)],
    [names.reasoning, usage.completion_tokens_details?.reasoning_tokens ? number(usage.completion_tokens_details.reasoning_tokens, now) : null],
    [names.queue, timings ? duration(timings.queue_ms, now) : null],
    [names.reading, timings ? duration(timings.prompt_ms, now) : null],
    [names.writing, timings ? duration(timings.predicted_ms, now) : null],
    [names.speed, speedOf(answer) && t.value.tokensPerSecond(speedOf(answer)!)],
    [names.finish, t.value.finish[answer.finish_reason] ?? answer.finish_reason],
    [names.cost, usage.cost && usage.currency ? exactMoney(usage.cost, usage.currency, now) : null],
  ];
  return rows.filter((row): row is [string, string] => row[1] !== null && row[1] !== '');
}

export function Stats({ answer }: { answer: Answer }) {
  return (
    <details class="stats">
      <summary title={t.value.details.title}>{lineOf(answer).join(' · ')}</summary>
      <dl>
        {rowsOf(answer).map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
      </dl>
    </details>
  );
}
