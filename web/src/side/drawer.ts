// Whether the side bar is there: on a wide page beside the view, on a narrow one as a drawer over it.
import { effect, signal } from '@preact/signals';
import { kept } from '../state/kept';

/** On a narrow page: whether the drawer is open. */
export const drawer = signal(false);

/** On a wide page: whether the side bar is hidden. */
export const folded = signal(kept.get('side', ['open', 'folded'], 'open') === 'folded');

effect(() => kept.set('side', folded.value ? 'folded' : 'open'));

export const isNarrow = () => matchMedia('(max-width: 60rem)').matches;

export function toggleSide() {
  if (isNarrow()) drawer.value = !drawer.value;
  else folded.value = !folded.value;
}
