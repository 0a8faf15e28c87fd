// Who is signed in, for the shell's side bar.
import { useEffect, useRef, useState } from 'preact/hooks';
import * as server from '../server';
import { logOut, me } from '../state/me';
import { language } from '../texts';
import { exactMoney, roughMoney } from './money';
import { t } from './texts';
import './account.css';

function Facts() {
  const organisation = me.value?.organisation;
  if (!organisation) return null;
  const money = (amount: string) => exactMoney(amount, organisation.currency, language.value);
  return (
    <dl>
      <dt>{t.value.menu.organisation}</dt><dd>{organisation.name}</dd>
      <dt>{t.value.menu.balance}</dt><dd>{money(organisation.balance)}</dd>
      {organisation.held !== '0' && <><dt>{t.value.menu.held}</dt><dd>{money(organisation.held)}</dd></>}
    </dl>
  );
}

/** Nothing where the server takes anybody without a key. */
export function AccountMenu() {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);

  useEffect(() => {
    if (!open) return undefined;
    // The balance as it is by now.
    void server.me().then((who) => { me.value = who; }).catch(() => {});
    const leave = (event: Event) => {
      if (!box.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener('pointerdown', leave);
    document.addEventListener('focusin', leave);
    return () => {
      document.removeEventListener('pointerdown', leave);
      document.removeEventListener('focusin', leave);
    };
  }, [open]);

  const who = me.value;
  if (!who?.needs_key) return null;
  const { key, organisation } = who;
  // Keys of a file have no names.
  const name = key?.name ?? t.value.menu.nameless;
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== 'Escape' || !open) return;
    event.stopPropagation();
    setOpen(false);
    button.current?.focus();
  };
  const note = key?.scope === 'admin' ? t.value.menu.admin
    : organisation && roughMoney(organisation.balance, organisation.currency, language.value);
  return (
    <div class="account-menu" ref={box} onKeyDown={onKeyDown}>
      {open && (
        <div class="account-panel" id="account-panel">
          <p><strong>{name}</strong></p>
          <Facts />
          <button type="button" class="button" onClick={() => void logOut()}>{t.value.menu.logout}</button>
        </div>
      )}
      <button
        type="button" class="account-button" ref={button} aria-expanded={open} aria-controls="account-panel"
        onClick={() => setOpen(!open)}
      >
        <span class="visually-hidden">{t.value.menu.account}</span>
        <span class="account-name">{name}</span> {note && <span class="account-note">{note}</span>}
      </button>
    </div>
  );
}
