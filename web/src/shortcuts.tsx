// Keys that work anywhere on the page, and their list.
import { signal } from '@preact/signals';
import { boxId } from './chat/composer';
import { copyText } from './copy';
import { Dialog } from './dialog';
import { go } from './route';
import { isRunning } from './state/answering';
import { shownAnswering, way } from './state/chat';
import { answerText, sending, stop } from './state/turns';
import { drawer, folded, isNarrow, toggleSide } from './side/drawer';
import { searchId } from './side/side';
import { t } from './texts';

export const helpShown = signal(false);

const inText = (target: EventTarget | null) => target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

// At once where it is there, so that no key typed next goes elsewhere; else when it has been drawn.
function focus(id: string) {
  const find = () => document.getElementById(id);
  const element = find();
  if (element?.checkVisibility()) element.focus();
  else requestAnimationFrame(() => find()?.focus());
}

function toSearch() {
  if (isNarrow()) drawer.value = true;
  else folded.value = false;
  focus(searchId);
}

function toBox() {
  focus(boxId);
}

function newChat() {
  go({ view: 'chat', chat: null });
  toBox();
}

function copyLast() {
  const last = way.peek().findLast(({ turn }) => turn.answer);
  if (last) void copyText(answerText(last.turn));
}

function isAnswered(): boolean {
  const answering = shownAnswering.peek();
  return answering !== null && isRunning(answering.phase.peek());
}

// What a key press asks for; nothing while a dialog is open, or an input method composes.
function actionOf(event: KeyboardEvent): (() => void) | null {
  if (event.isComposing || event.keyCode === 229 || event.altKey || document.querySelector('dialog[open]')) return null;
  const command = event.ctrlKey || event.metaKey;
  const key = event.key.toLowerCase();
  if (command && event.shiftKey) return { o: newChat, c: copyLast }[key] ?? null;
  if (command) return { k: toSearch, b: toggleSide }[key] ?? null;
  if (key === 'escape' && (sending.peek() || isAnswered())) return () => void stop();
  if (inText(event.target)) return null;
  return { '/': toBox, '?': () => { helpShown.value = true; } }[key] ?? null;
}

export function listenForShortcuts() {
  addEventListener('keydown', (event) => {
    const action = actionOf(event);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

export function ShortcutList() {
  return (
    <dl class="shortcuts">
      {t.value.shortcutList.map(([keys, what]) => (
        <div key={keys}>
          <dt>{keys!.split(' ').map((key) => <kbd key={key}>{key}</kbd>)}</dt>
          <dd>{what}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Help() {
  if (!helpShown.value) return null;
  return <Dialog title={t.value.shortcuts} onClose={() => { helpShown.value = false; }}><ShortcutList /></Dialog>;
}
