// The shell: side bar, the view of the route, the login where the server wants a key.
import { useEffect } from 'preact/hooks';
import { ChatView } from './chat/view';
import { boxId } from './chat/composer';
import { ErrorLine } from './errors';
import { Icon } from './icons';
import { lazy } from './lazy';
import { route } from './route';
import { Help } from './shortcuts';
import { folded, toggleSide } from './side/drawer';
import { Side } from './side/side';
import { chatId } from './state/chat';
import { chatById } from './state/chats';
import { loadError, loadMe, mustLogIn } from './state/me';
import { start } from './state/start';
import { announced } from './state/turns';
import { t } from './texts';

const Dashboard = lazy(async () => (await import('./dashboard/dashboard')).Dashboard);
const Keys = lazy(async () => (await import('./account/keys')).Keys);
const Login = lazy(async () => (await import('./account/login')).Login);
const SettingsView = lazy(async () => (await import('./settings_view')).SettingsView);

export function App() {
  useTitle();
  if (mustLogIn.value) return <Login onDone={start} />;
  return (
    <div class={`shell ${folded.value ? 'folded' : ''}`}>
      <SkipLink />
      <Side />
      <main class="view" id={mainId} tabIndex={-1}>
        {loadError.value !== null && (
          <ErrorLine error={loadError.value}><button type="button" class="button" onClick={() => void loadMe()}>{t.value.retry}</button></ErrorLine>
        )}
        <View />
      </main>
      <Announcer />
      <Help />
    </div>
  );
}

function View() {
  switch (route.value.view) {
    case 'dashboard': return <WithMenu><Dashboard /></WithMenu>;
    case 'keys': return <WithMenu><Keys /></WithMenu>;
    case 'settings': return <WithMenu><SettingsView /></WithMenu>;
    default: return <ChatView />;
  }
}

function WithMenu({ children }: { children: preact.ComponentChildren }) {
  return (
    <>
      <button type="button" class="icon-button menu-button alone" onClick={toggleSide} aria-label={t.value.unfoldSide} title={t.value.unfoldSide}>
        <Icon name="menu" />
      </button>
      {children}
    </>
  );
}

const mainId = 'main';

function SkipLink() {
  const inChat = route.value.view === 'chat';
  const id = inChat ? boxId : mainId;
  const skip = (event: Event) => {
    event.preventDefault();
    document.getElementById(id)?.focus();
  };
  return <a class="skip" href={`#${id}`} onClick={skip}>{inChat ? t.value.skipToBox : t.value.skip}</a>;
}

// The one place that speaks to a screen reader while an answer is written.
function Announcer() {
  return <p class="visually-hidden" role="status">{announced.value && t.value.announce[announced.value.what]}</p>;
}

function useTitle() {
  const { view } = route.value;
  const chat = chatId.value;
  const title = view === 'chat' ? (chat && chatById(chat)?.title) : t.value[view];
  useEffect(() => { document.title = title ? `${title} – Fulmen` : 'Fulmen'; }, [title]);
}
