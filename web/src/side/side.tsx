// The side bar: a new chat, the chats, the other views.
import { useEffect, useRef } from 'preact/hooks';
import { Icon, Mark, type IconName } from '../icons';
import { lazy } from '../lazy';
import { hrefOf, route, type Route } from '../route';
import { keepsChats } from '../state/keeper';
import { me } from '../state/me';
import { t } from '../texts';
import { ChatList } from './chat_list';
import { drawer, folded, isNarrow, toggleSide } from './drawer';
import { search } from './search';

const AccountMenu = lazy(async () => (await import('../account/menu')).AccountMenu);

export const searchId = 'search';

export function Side() {
  const side = useRef<HTMLElement>(null);
  const open = drawer.value;
  useEffect(() => { drawer.value = false; }, [route.value]);
  useEffect(() => {
    if (!open) return undefined;
    const opener = document.activeElement as HTMLElement | null;
    side.current?.querySelector<HTMLElement>('a, button')?.focus();
    return () => opener?.focus();
  }, [open]);
  if (folded.value && !open) return null;
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Escape' && open) {
      event.stopPropagation();
      drawer.value = false;
    }
  };
  return (
    <>
      {open && <div class="veil" onClick={() => { drawer.value = false; }} />}
      <nav class={`side ${open ? 'open' : ''}`} ref={side} aria-label={t.value.chats} onKeyDown={onKeyDown}>
        <header>
          <a class="brand" href={hrefOf({ view: 'chat', chat: null })}><Mark />Fulmen</a>
          <button type="button" class="icon-button" onClick={toggleSide} aria-label={isNarrow() ? t.value.close : t.value.foldSide} title={t.value.foldSide}>
            <Icon name="side" />
          </button>
        </header>
        <a class="side-link new" href={hrefOf({ view: 'chat', chat: null })}><Icon name="plus" />{t.value.newChat}</a>
        {keepsChats.value && <SearchBox />}
        <ChatList />
        <footer>
          {me.value?.sees_metrics && <ViewLink to={{ view: 'dashboard' }} icon="chart" label={t.value.dashboard} />}
          {me.value?.needs_key && me.value.is_admin && <ViewLink to={{ view: 'keys' }} icon="key" label={t.value.keys} />}
          <ViewLink to={{ view: 'settings' }} icon="settings" label={t.value.settings} />
          {me.value?.needs_key && <AccountMenu />}
        </footer>
      </nav>
    </>
  );
}

function SearchBox() {
  return (
    <label class="search">
      <Icon name="search" />
      <input
        id={searchId} type="search" placeholder={t.value.search} aria-label={t.value.search} value={search.value} autocomplete="off"
        onInput={(event) => { search.value = event.currentTarget.value; }}
      />
    </label>
  );
}

function ViewLink({ to, icon, label }: { to: Route; icon: IconName; label: string }) {
  const here = route.value.view === to.view;
  return <a class="side-link" href={hrefOf(to)} aria-current={here ? 'page' : undefined}><Icon name={icon} />{label}</a>;
}
