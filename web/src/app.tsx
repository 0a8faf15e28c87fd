// The shell: side bar, the view of the route, the login where the server wants a key.
import { useEffect } from 'preact/hooks';
import { lazy } from './lazy';
import { hrefOf, route } from './route';
import { loadMe, me, mustLogIn } from './state/me';
import { t } from './texts';

const Dashboard = lazy(async () => (await import('./dashboard/dashboard')).Dashboard);
const Keys = lazy(async () => (await import('./account/keys')).Keys);
const Login = lazy(async () => (await import('./account/login')).Login);

export function App() {
  useEffect(() => { void loadMe().catch(() => {}); }, []);
  if (mustLogIn.value) return <Login onDone={() => void loadMe()} />;
  return (
    <div class="shell">
      <nav class="side">
        <a href={hrefOf({ view: 'chat', chat: null })}>{t.value.newChat}</a>
        {me.value?.sees_metrics && <a href={hrefOf({ view: 'dashboard' })}>{t.value.dashboard}</a>}
        {me.value?.is_admin && <a href={hrefOf({ view: 'keys' })}>{t.value.keys}</a>}
      </nav>
      <main class="view">
        {route.value.view === 'dashboard' && <Dashboard />}
        {route.value.view === 'keys' && <Keys />}
      </main>
    </div>
  );
}
