// Forms that make a key, change its limits, and end it.
import { Dialog } from '../dialog';
import { loadMe, me } from '../state/me';
import * as api from './api';
import { attempt, loadKeys } from './book';
import { dayIn } from './days';
import { Field } from './field';
import { Form } from './form';
import { limitNames, LimitFields } from './limits';
import type { Made } from './secret';
import { t } from './texts';

interface NewKeyProps {
  organisation: api.Organisation;
  onClose: () => void;
  onMade: (made: Made) => void;
}

export function NewKey({ organisation, onClose, onMade }: NewKeyProps) {
  const texts = t.value.keys;
  const send = async (values: Record<string, string>) => {
    const made = await api.createKey({ ...values, organisation: organisation.name });
    void attempt(loadKeys);
    onMade(made);
  };
  return (
    <Dialog title={texts.make} onClose={onClose}>
      <Form submit={texts.create} fields={['name', 'scope', 'expires', ...limitNames]} send={send} onCancel={onClose}>
        {(failure) => (
          <>
            <Field name="name" label={texts.name} hint={texts.nameHint} failure={failure}>
              {(attributes) => <input {...attributes} type="text" autocomplete="off" maxLength={200} required autoFocus />}
            </Field>
            <Field name="scope" label={texts.scope} hint={texts.scopeHint} failure={failure}>
              {(attributes) => (
                <select {...attributes}>
                  <option value="inference">{texts.scopes.inference}</option>
                  <option value="admin">{texts.scopes.admin}</option>
                </select>
              )}
            </Field>
            <Field name="expires" label={texts.expires} hint={texts.expiresHint} failure={failure}>
              {(attributes) => <input {...attributes} type="date" min={dayIn(organisation.time_zone)} />}
            </Field>
            <LimitFields currency={organisation.currency} failure={failure} />
          </>
        )}
      </Form>
    </Dialog>
  );
}

interface KeyFormProps {
  item: api.Key;
  onClose: () => void;
}

export function EditLimits({ item, currency, onClose }: KeyFormProps & { currency: string }) {
  const send = async (values: Record<string, string>) => {
    // An emptied field would leave the limit as it was.
    const limits = Object.fromEntries(limitNames.map((name) => [name, values[name] ?? '0']));
    await api.limitKey(item.id, limits);
    void attempt(loadKeys);
    onClose();
  };
  return (
    <Dialog title={t.value.keys.editOf(item.name)} onClose={onClose}>
      <Form submit={t.value.save} fields={limitNames} send={send} onCancel={onClose}>
        {(failure) => <LimitFields values={item} currency={currency} failure={failure} />}
      </Form>
    </Dialog>
  );
}

export function Revoke({ item, onClose }: KeyFormProps) {
  const yours = item.id === me.value?.key?.id;
  const send = async () => {
    await api.revokeKey(item.id);
    // With our own key this is refused from now on, and the page asks to sign in.
    void attempt(yours ? loadMe : loadKeys);
    onClose();
  };
  return (
    <Dialog title={t.value.keys.revokeTitle(item.name)} onClose={onClose}>
      <Form danger submit={t.value.keys.revoke} fields={[]} send={send} onCancel={onClose}>
        {() => (
          <>
            <p>{t.value.keys.revokeWarning}</p>
            {yours && <p class="error">{t.value.keys.revokeYours}</p>}
          </>
        )}
      </Form>
    </Dialog>
  );
}
