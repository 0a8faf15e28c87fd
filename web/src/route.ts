// Where the page is: the part of the address after #.
import { signal } from '@preact/signals';

export type Route =
  | { view: 'chat'; chat: string | null }
  | { view: 'dashboard' }
  | { view: 'keys' }
  | { view: 'settings' };

export function routeOf(hash: string): Route {
  const [view, id] = hash.replace(/^#\/?/, '').split('/');
  if (view === 'dashboard' || view === 'keys' || view === 'settings') return { view };
  return { view: 'chat', chat: view === 'chat' && id ? decode(id) : null };
}

function decode(id: string): string {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}

export function hrefOf(route: Route): string {
  if (route.view !== 'chat') return `#/${route.view}`;
  return route.chat ? `#/chat/${encodeURIComponent(route.chat)}` : '#/';
}

export const route = signal<Route>({ view: 'chat', chat: null });

export function followAddress() {
  const follow = () => { route.value = routeOf(location.hash); };
  addEventListener('hashchange', follow);
  follow();
}

/** Goes there; `replace` where Back should not come here again. */
export function go(to: Route, replace = false) {
  history[replace ? 'replaceState' : 'pushState'](null, '', hrefOf(to));
  route.value = to;
}
