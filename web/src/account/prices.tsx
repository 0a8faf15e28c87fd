// What a million tokens of each model cost.
import { useEffect, useState } from 'preact/hooks';
import { Dialog } from '../dialog';
import { models } from '../state/me';
import { language } from '../texts';
import * as api from './api';
import { attempt } from './book';
import { Field, type Failure } from './field';
import { Form } from './form';
import { exactMoney } from './money';
import { t } from './texts';

const parts = ['input', 'cached', 'image', 'output'] as const;
const fields = ['model', 'currency', ...parts];

interface SetPricesProps {
  of: api.Prices | null; // null: of a model that has none yet
  onClose: () => void;
  onSet: () => void;
}

function ModelField({ failure }: { failure: Failure | null }) {
  return (
    <>
      <Field name="model" label={t.value.prices.model} failure={failure}>
        {(attributes) => <input {...attributes} type="text" autocomplete="off" list="priced-models" autoFocus />}
      </Field>
      <datalist id="priced-models">{models.value.map(({ id }) => <option key={id} value={id} />)}</datalist>
      <Field name="currency" label={t.value.prices.currency} failure={failure}>
        {(attributes) => <input {...attributes} type="text" autocomplete="off" defaultValue="CNY" />}
      </Field>
    </>
  );
}

function SetPrices({ of, onClose, onSet }: SetPricesProps) {
  const texts = t.value.prices;
  const send = async (values: Record<string, string>) => {
    await api.setPrices(of ? { ...values, model: of.model, currency: of.currency } : values);
    onSet();
    onClose();
  };
  return (
    <Dialog title={of ? `${of.model} (${of.currency})` : texts.title} onClose={onClose}>
      <Form submit={t.value.save} fields={fields} send={send} onCancel={onClose}>
        {(failure) => (
          <>
            {!of && <ModelField failure={failure} />}
            <p class="quiet">{texts.of}</p>
            {parts.map((part) => (
              <Field
                key={part} name={part} label={texts[part]} failure={failure}
                {...(!of && (part === 'cached' || part === 'image') ? { hint: texts.optional } : {})}
              >
                {(attributes) => (
                  <input {...attributes} type="text" inputMode="decimal" autocomplete="off" defaultValue={of?.[part] ?? ''} />
                )}
              </Field>
            ))}
          </>
        )}
      </Form>
    </Dialog>
  );
}

export function PriceList() {
  const [found, setFound] = useState<api.Prices[] | null>(null);
  const [open, setOpen] = useState<{ of: api.Prices | null } | null>(null);
  const texts = t.value.prices;
  const load = () => void attempt(async () => setFound(await api.prices()));
  useEffect(load, []);
  if (!found) return <p role="status">{t.value.loading}</p>;
  return (
    <>
      <div class="panel-tools">
        <button type="button" class="button primary" onClick={() => setOpen({ of: null })}>{texts.make}</button>
        <span class="quiet">{texts.of}</span>
      </div>
      {found.length === 0 && <p>{texts.nothing}</p>}
      {found.length > 0 && (
        <table class="table stacks">
          <caption class="visually-hidden">{t.value.tabs.prices}</caption>
          <thead>
            <tr>
              <th scope="col">{texts.model}</th>
              {parts.map((part) => <th key={part} scope="col" class="number">{texts[part]}</th>)}
              <th scope="col"><span class="visually-hidden">{t.value.keys.actions}</span></th>
            </tr>
          </thead>
          <tbody>
            {found.map((each) => (
              <tr key={`${each.model} ${each.currency}`}>
                <th scope="row">{each.model}</th>
                {parts.map((part) => (
                  <td key={part} data-label={texts[part]} class="number">{exactMoney(each[part], each.currency, language.value)}</td>
                ))}
                <td class="row-actions">
                  <button type="button" class="button small" aria-label={texts.changeOf(each.model)} onClick={() => setOpen({ of: each })}>
                    {texts.change}
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {open && <SetPrices of={open.of} onClose={() => setOpen(null)} onSet={load} />}
    </>
  );
}
