import { render } from 'preact';
import { App } from './app';
import { followAddress } from './route';
import { listenForShortcuts } from './shortcuts';
import { live } from './state/start';
import { applyTheme } from './state/theme';

applyTheme();
followAddress();
live();
listenForShortcuts();
render(<App />, document.getElementById('page')!);

// What a first answer needs is fetched while the user types.
requestAnimationFrame(() => setTimeout(() => {
  void import('./markdown/markdown');
  void import('temml');
}));
