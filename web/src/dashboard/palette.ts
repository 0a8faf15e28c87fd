// The page's colours for a canvas, which knows no custom properties and no light-dark().
import { signal } from '@preact/signals';
import { theme } from '../state/theme';

export interface Palette {
  series: string[];
  text: string;
  line: string;
}

function resolve(names: string[]): string[] {
  const probe = document.body.appendChild(document.createElement('span'));
  const colours = names.map((name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  });
  probe.remove();
  return colours;
}

function read(): Palette {
  const [text = '', line = '', ...series] =
    resolve(['--text-quiet', '--line', ...[1, 2, 3, 4, 5, 6].map((i) => `--series-${i}`)]);
  return { text, line, series };
}

export const palette = signal<Palette>({ series: [], text: '', line: '' });

/** Keeps the palette as the theme is, until the function it returns is called. */
export function followTheme(): () => void {
  const system = matchMedia('(prefers-color-scheme: dark)');
  const change = () => { palette.value = read(); };
  // After the theme's own effect, which sets the attribute that colours go by.
  const ends = theme.subscribe(() => queueMicrotask(change));
  change();
  system.addEventListener('change', change);
  return () => {
    ends();
    system.removeEventListener('change', change);
  };
}
