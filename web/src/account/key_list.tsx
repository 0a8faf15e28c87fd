// The keys of an organisation.
import { useState } from 'preact/hooks';
import { me } from '../state/me';
import { language } from '../texts';
import type { Key, Organisation } from './api';
import { keys, spentToday } from './book';
import { addDays, dayIn } from './days';
import { EditLimits, NewKey, Revoke } from './key_forms';
import { limitTexts } from './limits';
import { exactMoney } from './money';
import { NewSecret, type Made } from './secret';
import { t } from './texts';

type Open = { form: 'new' } | { form: 'limits' | 'revoke'; key: Key } | { form: 'secret'; made: Made } | null;
type State = 'good' | 'expired' | 'revoked';

function stateOf(key: Key): State {
  if (key.revoked) return 'revoked';
  return key.expires && Date.parse(key.expires) <= Date.now() ? 'expired' : 'good';
}

/** It ends with its last day, which is the one before that in which it is good no more. */
function lastDay(expires: string, zone: string): string {
  const end = dayIn(zone, new Date(expires));
  const begins = dayIn(zone, new Date(Date.parse(expires) - 1000)) !== end;
  return begins ? addDays(end, -1) : end;
}

function StateMark({ item, zone }: { item: Key; zone: string }) {
  const state = stateOf(item);
  if (state === 'good') return null;
  return (
    <span class="badge ended">
      {item.revoked ? t.value.keys.revokedOn(dayIn(zone, new Date(item.revoked))) : t.value.keys.expired}
    </span>
  );
}

interface RowProps {
  item: Key;
  organisation: Organisation;
  open: (form: 'limits' | 'revoke') => void;
}

function Row({ item, organisation, open }: RowProps) {
  const { currency, time_zone } = organisation;
  const texts = t.value.keys;
  const limits = limitTexts(item, currency);
  return (
    <tr class={stateOf(item)}>
      <th scope="row">
        <span class="key-name">{item.name}</span>
        {item.id === me.value?.key?.id && <span class="badge">{texts.yours}</span>}
        <StateMark item={item} zone={time_zone} />
        <code class="key-id">{item.id}</code>
      </th>
      <td data-label={texts.scope}>{texts.scopes[item.scope]}</td>
      <td data-label={texts.created} class="day">{dayIn(time_zone, new Date(item.created))}</td>
      <td data-label={texts.expires} class="day">{item.expires ? lastDay(item.expires, time_zone) : texts.forGood}</td>
      <td data-label={texts.limits}>
        {limits.length === 0 ? texts.none : <ul class="limit-list">{limits.map((one) => <li key={one}>{one}</li>)}</ul>}
      </td>
      <td data-label={texts.spentToday} class="number">
        {exactMoney(spentToday.value.get(item.id) ?? '0', currency, language.value)}
      </td>
      <td class="row-actions">
        {!item.revoked && (
          <>
            <button type="button" class="button small" aria-label={texts.editOf(item.name)} onClick={() => open('limits')}>
              {texts.edit}
            </button>
            <button type="button" class="button small revoke" aria-label={texts.revokeOf(item.name)} onClick={() => open('revoke')}>
              {texts.revoke}
            </button>
          </>
        )}
      </td>
    </tr>
  );
}

function Head() {
  const { name, scope, created, expires, limits, spentToday: spent, actions } = t.value.keys;
  return (
    <thead>
      <tr>
        {[name, scope, created, expires, limits].map((text) => <th key={text} scope="col">{text}</th>)}
        <th scope="col" class="number">{spent}</th>
        <th scope="col"><span class="visually-hidden">{actions}</span></th>
      </tr>
    </thead>
  );
}

export function KeyList({ organisation }: { organisation: Organisation }) {
  const [open, setOpen] = useState<Open>(null);
  const [withRevoked, setWithRevoked] = useState(false);
  const all = keys.value;
  if (!all) return <p role="status">{t.value.loading}</p>;
  const revoked = all.filter(({ revoked: end }) => end);
  const shown = withRevoked ? all : all.filter(({ revoked: end }) => !end);
  const close = () => setOpen(null);
  return (
    <>
      {open?.form === 'secret' && <NewSecret made={open.made} onDone={close} />}
      <div class="panel-tools">
        <button type="button" class="button primary" onClick={() => setOpen({ form: 'new' })}>{t.value.keys.make}</button>
        {revoked.length > 0 && (
          <label class="check">
            <input type="checkbox" checked={withRevoked} onChange={() => setWithRevoked(!withRevoked)} />
            {t.value.keys.showRevoked(revoked.length)}
          </label>
        )}
      </div>
      {shown.length === 0 && <p>{t.value.keys.nobody}</p>}
      <table class="table stacks" hidden={shown.length === 0}>
        <caption class="visually-hidden">{t.value.tabs.keys}: {organisation.name}</caption>
        <Head />
        <tbody>
          {shown.map((key) => (
            <Row key={key.id} item={key} organisation={organisation} open={(form) => setOpen({ form, key })} />
          ))}
        </tbody>
      </table>
      {open?.form === 'new' && (
        <NewKey organisation={organisation} onClose={close} onMade={(made) => setOpen({ form: 'secret', made })} />
      )}
      {open?.form === 'limits' && <EditLimits item={open.key} currency={organisation.currency} onClose={close} />}
      {open?.form === 'revoke' && <Revoke item={open.key} onClose={close} />}
    </>
  );
}
