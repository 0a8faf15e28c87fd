// What an administrator manages: keys, usage, organisations, prices.
import { useEffect, useRef } from 'preact/hooks';
import { signal } from '@preact/signals';
import { me } from '../state/me';
import { choose, failure, loadAll, organisation, organisations } from './book';
import { KeyList } from './key_list';
import { OrganisationList } from './organisations';
import { PriceList } from './prices';
import { UsageTable } from './usage';
import { t } from './texts';
import './account.css';

const tabs = ['keys', 'usage', 'organisations', 'prices'] as const;
type Tab = (typeof tabs)[number];
const tab = signal<Tab>('keys');

function Tabs() {
  const list = useRef<HTMLDivElement>(null);
  const onKeyDown = (event: KeyboardEvent) => {
    const at = tabs.indexOf(tab.value);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    tab.value = tabs[(to + tabs.length) % tabs.length]!;
    list.current?.querySelector<HTMLElement>(`#tab-${tab.value}`)?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label={t.value.title} ref={list} onKeyDown={onKeyDown}>
      {tabs.map((name) => (
        <button
          key={name} id={`tab-${name}`} type="button" role="tab" aria-selected={tab.value === name}
          aria-controls="tab-panel" tabIndex={tab.value === name ? 0 : -1} onClick={() => { tab.value = name; }}
        >
          {t.value.tabs[name]}
        </button>
      ))}
    </div>
  );
}

function OrganisationPicker() {
  if (organisations.value.length < 2 || tab.value === 'organisations' || tab.value === 'prices') return null;
  return (
    <label class="organisation-picker">
      {t.value.organisation}
      <select value={organisation.value?.name ?? ''} onChange={(event) => choose(event.currentTarget.value)}>
        {organisations.value.map(({ name }) => <option key={name} value={name}>{name}</option>)}
      </select>
    </label>
  );
}

function Panel() {
  if (!organisation.value) {
    return failure.value
      ? <button type="button" class="button" onClick={() => void loadAll()}>{t.value.retry}</button>
      : <p role="status">{t.value.loading}</p>;
  }
  switch (tab.value) {
    case 'keys': return <KeyList organisation={organisation.value} />;
    case 'usage': return <UsageTable organisation={organisation.value} />;
    case 'organisations': return <OrganisationList />;
    case 'prices': return <PriceList />;
  }
}

function Managing() {
  useEffect(() => void loadAll(), []);
  return (
    <>
      <div class="tab-bar"><Tabs /><OrganisationPicker /></div>
      {failure.value && <p class="error" role="alert">{failure.value}</p>}
      <div id="tab-panel" class="tab-panel" role="tabpanel" aria-labelledby={`tab-${tab.value}`}><Panel /></div>
    </>
  );
}

export function Keys() {
  const who = me.value;
  return (
    <div class="page-view keys-view">
      <h1>{t.value.title}</h1>
      {who?.is_admin && <Managing />}
      {who && !who.is_admin && (
        who.organisation || who.needs_key
          ? <p><strong>{t.value.adminOnly}</strong> {t.value.adminOnlyHint}</p>
          : <p>{t.value.noAccounts}</p>
      )}
    </div>
  );
}
