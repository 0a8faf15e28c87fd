import { render } from 'preact';
import { App } from './app';
import { followAddress } from './route';
import { applyTheme } from './state/theme';

applyTheme();
followAddress();
render(<App />, document.getElementById('page')!);
