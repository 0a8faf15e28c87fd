// Light or dark, by the system unless chosen.
import { effect, signal } from '@preact/signals';
import { kept } from './kept';

export type Theme = 'auto' | 'light' | 'dark';

export const theme = signal<Theme>(kept.get('theme', ['auto', 'light', 'dark'], 'auto'));

export function applyTheme() {
  effect(() => {
    kept.set('theme', theme.value);
    const root = document.documentElement;
    if (theme.value === 'auto') delete root.dataset.theme;
    else root.dataset.theme = theme.value;
  });
}
