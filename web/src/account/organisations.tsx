// Organisations with their balances, and what was paid in.
import { useEffect, useState } from 'preact/hooks';
import { Dialog } from '../dialog';
import { ServerError } from '../server';
import { language } from '../texts';
import * as api from './api';
import { attempt, loadOrganisations, organisations } from './book';
import { dayIn } from './days';
import { Field } from './field';
import { Form } from './form';
import { exactMoney } from './money';
import { t } from './texts';

function NewOrganisation({ onClose }: { onClose: () => void }) {
  const texts = t.value.organisations;
  const send = async (values: Record<string, string>) => {
    await api.addOrganisation(values);
    void attempt(loadOrganisations);
    onClose();
  };
  return (
    <Dialog title={texts.make} onClose={onClose}>
      <Form submit={texts.create} fields={['name', 'currency', 'time_zone']} send={send} onCancel={onClose}>
        {(failure) => (
          <>
            <Field name="name" label={texts.name} failure={failure}>
              {(attributes) => <input {...attributes} type="text" autocomplete="off" required autoFocus />}
            </Field>
            <Field name="currency" label={texts.currency} failure={failure}>
              {(attributes) => <input {...attributes} type="text" autocomplete="off" defaultValue="CNY" />}
            </Field>
            <Field name="time_zone" label={texts.zone} hint={texts.zoneHint} failure={failure}>
              {(attributes) => (
                <input
                  {...attributes} type="text" autocomplete="off" list="time-zones"
                  defaultValue={Intl.DateTimeFormat().resolvedOptions().timeZone}
                />
              )}
            </Field>
            <datalist id="time-zones">
              {Intl.supportedValuesOf('timeZone').map((zone) => <option key={zone} value={zone} />)}
            </datalist>
          </>
        )}
      </Form>
    </Dialog>
  );
}

interface OfOrganisation {
  organisation: api.Organisation;
  onClose: () => void;
}

function PayIn({ organisation, onClose }: OfOrganisation) {
  const texts = t.value.organisations;
  const send = async (values: Record<string, string>) => {
    const { added } = await api.addDeposit({ ...values, organisation: organisation.name });
    if (!added) throw new ServerError(`reference: ${texts.repeated}`, 200);
    void attempt(loadOrganisations);
    onClose();
  };
  return (
    <Dialog title={texts.depositTo(organisation.name)} onClose={onClose}>
      <Form submit={texts.deposit} fields={['amount', 'reference']} send={send} onCancel={onClose}>
        {(failure) => (
          <>
            <Field name="amount" label={`${texts.amount} (${organisation.currency})`} failure={failure}>
              {(attributes) => <input {...attributes} type="text" inputMode="decimal" autocomplete="off" autoFocus />}
            </Field>
            <Field name="reference" label={texts.reference} hint={texts.referenceHint} failure={failure}>
              {(attributes) => <input {...attributes} type="text" autocomplete="off" />}
            </Field>
          </>
        )}
      </Form>
    </Dialog>
  );
}

function Deposits({ organisation, onClose }: OfOrganisation) {
  const texts = t.value.organisations;
  const [found, setFound] = useState<api.Deposit[] | null>(null);
  useEffect(() => void attempt(async () => setFound(await api.deposits(organisation.name))), [organisation.name]);
  return (
    <Dialog title={texts.deposits(organisation.name)} onClose={onClose}>
      {found?.length === 0 && <p>{texts.noDeposits}</p>}
      {found && found.length > 0 && (
        <table class="table">
          <thead>
            <tr><th scope="col">{texts.at}</th><th scope="col">{texts.reference}</th><th scope="col" class="number">{texts.amount}</th></tr>
          </thead>
          <tbody>
            {found.map(({ reference, amount, at }) => (
              <tr key={reference}>
                <td>{dayIn(organisation.time_zone, new Date(at))}</td>
                <th scope="row">{reference}</th>
                <td class="number">{exactMoney(amount, organisation.currency, language.value)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Dialog>
  );
}

type Open = { form: 'new' } | { form: 'pay' | 'deposits'; organisation: api.Organisation } | null;

function Row({ organisation, open }: { organisation: api.Organisation; open: (form: 'pay' | 'deposits') => void }) {
  const texts = t.value.organisations;
  const { name, currency, time_zone, balance, held } = organisation;
  return (
    <tr>
      <th scope="row">{name}</th>
      <td data-label={texts.zone}>{time_zone}</td>
      <td data-label={texts.balance} class="number">{exactMoney(balance, currency, language.value)}</td>
      <td data-label={texts.held} class="number" title={texts.heldHint}>{exactMoney(held, currency, language.value)}</td>
      <td class="row-actions">
        <button type="button" class="button small" aria-label={texts.depositTo(name)} onClick={() => open('pay')}>{texts.deposit}</button>
        <button type="button" class="button small" aria-label={texts.deposits(name)} onClick={() => open('deposits')}>{texts.history}</button>
      </td>
    </tr>
  );
}

export function OrganisationList() {
  const [open, setOpen] = useState<Open>(null);
  const texts = t.value.organisations;
  useEffect(() => void attempt(loadOrganisations), []);
  const close = () => setOpen(null);
  return (
    <>
      <div class="panel-tools">
        <button type="button" class="button primary" onClick={() => setOpen({ form: 'new' })}>{texts.make}</button>
      </div>
      <table class="table stacks">
        <caption class="visually-hidden">{t.value.tabs.organisations}</caption>
        <thead>
          <tr>
            <th scope="col">{texts.name}</th>
            <th scope="col">{texts.zone}</th>
            <th scope="col" class="number">{texts.balance}</th>
            <th scope="col" class="number">{texts.held}</th>
            <th scope="col"><span class="visually-hidden">{t.value.keys.actions}</span></th>
          </tr>
        </thead>
        <tbody>
          {organisations.value.map((each) => (
            <Row key={each.name} organisation={each} open={(form) => setOpen({ form, organisation: each })} />
          ))}
        </tbody>
      </table>
      {open?.form === 'new' && <NewOrganisation onClose={close} />}
      {open?.form === 'pay' && <PayIn organisation={open.organisation} onClose={close} />}
      {open?.form === 'deposits' && <Deposits organisation={open.organisation} onClose={close} />}
    </>
  );
}
