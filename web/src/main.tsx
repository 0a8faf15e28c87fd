import { render } from 'preact';
import { App } from './app';
import { followAddress } from './route';
import { listenForShortcuts } from './shortcuts';
import { live } from './state/start';
import { applyTheme } from './state/theme';

// Where a phone's keyboard lies over the page instead of making it smaller, the page makes itself smaller.
function fitKeyboard() {
  const viewport = window.visualViewport;
  viewport?.addEventListener('resize', () => {
    const covered = viewport.scale === 1 && viewport.height < innerHeight - 1;
    if (covered) document.documentElement.style.setProperty('--height', `${viewport.height}px`);
    else document.documentElement.style.removeProperty('--height');
    if (covered) scrollTo(0, 0);
  });
}

applyTheme();
followAddress();
live();
listenForShortcuts();
fitKeyboard();
render(<App />, document.getElementById('page')!);

// What a first answer needs is fetched while the user types.
requestAnimationFrame(() => setTimeout(() => void import('./markdown/markdown')));
