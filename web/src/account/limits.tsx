// Limits of a key: as fields of a form, and as words.
import { whole } from '../dashboard/format';
import { language } from '../texts';
import type { LimitName, Limits } from './api';
import { Field, type Failure } from './field';
import { exactMoney } from './money';
import { t } from './texts';

export const limitNames: readonly LimitName[] =
  ['requests_per_minute', 'tokens_per_minute', 'concurrent', 'spend_per_day'];

interface LimitFieldsProps {
  values?: Limits;
  currency: string;
  failure: Failure | null;
}

export function LimitFields({ values, currency, failure }: LimitFieldsProps) {
  return (
    <fieldset class="limit-fields">
      <legend>{t.value.keys.limits} <span class="quiet">{t.value.limitsHint}</span></legend>
      {limitNames.map((name) => {
        const money = name === 'spend_per_day';
        return (
          <Field
            key={name} name={name} failure={failure}
            label={money ? `${t.value.limit[name]} (${currency})` : t.value.limit[name]}
          >
            {(attributes) => (
              <input
                {...attributes} type="text" inputMode={money ? 'decimal' : 'numeric'} autocomplete="off"
                defaultValue={String(values?.[name] ?? 0)}
              />
            )}
          </Field>
        );
      })}
    </fieldset>
  );
}

/** Those that there are, such as "60 requests/min". */
export function limitTexts(limits: Limits, currency: string): string[] {
  return limitNames.flatMap((name) => {
    const value = limits[name];
    if (value === 0 || value === '0') return [];
    const text = typeof value === 'string'
      ? exactMoney(value, currency, language.value) : whole(value, language.value);
    return [t.value.limitShort[name](text)];
  });
}
