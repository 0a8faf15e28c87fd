// What boxes to write in have in common.

const onTouch = () => matchMedia('(pointer: coarse) and (hover: none)').matches;

/** Enter sends and Shift-Enter makes a new line; on a phone, which has no Shift-Enter, Enter makes one. */
export function enterSends(event: KeyboardEvent): boolean {
  return event.key === 'Enter' && !event.shiftKey && !event.altKey && (event.ctrlKey || event.metaKey || !onTouch());
}

const fitsItself = CSS.supports('field-sizing', 'content');

/** Makes the box as high as its text, where the browser does not do so itself. */
export function fit(box: HTMLTextAreaElement) {
  if (fitsItself) return;
  box.style.height = 'auto';
  box.style.height = `${box.scrollHeight}px`;
}
