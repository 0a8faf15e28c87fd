// Work in small portions, so that the page answers at any time.

export const nextFrame = () => new Promise<void>((go) => { requestAnimationFrame(() => go()); });

// Portions wait in line: one is done after each frame.
const waiting: (() => void)[] = [];
let scheduled = false;

/** Does this soon, in a task of its own, after a frame was shown. */
export function whenIdle(work: () => void) {
  waiting.push(work);
  schedule();
}

function schedule() {
  if (scheduled || waiting.length === 0) return;
  scheduled = true;
  const step = () => {
    scheduled = false;
    waiting.shift()?.();
    schedule();
  };
  if (document.hidden) setTimeout(step, 50);
  else requestAnimationFrame(() => { setTimeout(step); });
}

/** Whether the reader has something selected in this element. */
export function selectionIn(element: Element): boolean {
  const selection = document.getSelection();
  return selection !== null && !selection.isCollapsed && selection.containsNode(element, true);
}
