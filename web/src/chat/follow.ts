// Follows the end of what is written, unless the reader went up.
import { signal } from '@preact/signals';

const nearPx = 40;

/** Whether the end of the chat is in sight: else a button leads there. */
export const atEnd = signal(true);

export interface Follower {
  toEnd: () => void;
  /** Shows this part of the content, and stays there. */
  goTo: (part: Element) => void;
  undo: () => void;
}

/** Keeps `scroller` at the end of `content` as that grows. */
export function followEnd(scroller: HTMLElement, content: HTMLElement): Follower {
  let following = true;
  let last = 0;
  let touched = 0;
  const distance = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
  const toEnd = () => {
    following = true;
    scroller.scrollTop = scroller.scrollHeight;
  };
  const goTo = (part: Element) => {
    following = false;
    part.scrollIntoView({ block: 'start' });
  };
  const grown = new ResizeObserver(() => {
    if (following) toEnd();
    else atEnd.value = distance() <= nearPx;
  });
  grown.observe(content);
  grown.observe(scroller);
  const listeners: [string, (event: Event) => void][] = [
    ['wheel', (event) => { if ((event as WheelEvent).deltaY < 0) following = false; }],
    ['touchstart', (event) => { touched = (event as TouchEvent).touches[0]?.clientY ?? 0; }],
    ['touchmove', (event) => { if (((event as TouchEvent).touches[0]?.clientY ?? 0) > touched) following = false; }],
    ['keydown', (event) => { if (['ArrowUp', 'PageUp', 'Home'].includes((event as KeyboardEvent).key)) following = false; }],
    ['scroll', () => {
      const { scrollTop } = scroller;
      const rest = distance();
      if (scrollTop < last - 1 && rest > 1) following = false;
      if (scrollTop > last && rest <= nearPx) following = true;
      last = scrollTop;
      atEnd.value = following || rest <= nearPx;
    }],
  ];
  for (const [name, listener] of listeners) scroller.addEventListener(name, listener, { passive: true });
  const undo = () => {
    grown.disconnect();
    for (const [name, listener] of listeners) scroller.removeEventListener(name, listener);
    atEnd.value = true;
  };
  return { toEnd, goTo, undo };
}
