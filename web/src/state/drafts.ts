// What was typed and not sent, for each chat. Pictures are too large for what a browser keeps, so these last as long as the page.
import { signal, type Signal } from '@preact/signals';
import { kept } from './kept';
import { emptyDraft, isEmpty, type Draft } from './message';

const drafts = new Map<string, Signal<Draft>>();
const unsaved = new Set<string>();
let timer: ReturnType<typeof setTimeout> | undefined;

const nameOf = (chat: string | null) => `draft.${chat ?? 'new'}`;

function read(name: string): Draft {
  try {
    const { text, files } = JSON.parse(kept.read(name) ?? '{}');
    return { ...emptyDraft, text: String(text ?? ''), files: Array.isArray(files) ? files : [] };
  } catch {
    return emptyDraft;
  }
}

function write(name: string, { text, files }: Draft) {
  kept.write(name, text === '' && files.length === 0 ? null : JSON.stringify({ text, files }));
}

export function draftOf(chat: string | null): Signal<Draft> {
  const name = nameOf(chat);
  let draft = drafts.get(name);
  if (!draft) drafts.set(name, draft = signal(read(name)));
  return draft;
}

export function setDraft(chat: string | null, draft: Draft) {
  draftOf(chat).value = draft;
  unsaved.add(nameOf(chat));
  timer ??= setTimeout(saveDrafts, 250);
}

export function saveDrafts() {
  clearTimeout(timer);
  timer = undefined;
  for (const name of unsaved) write(name, drafts.get(name)!.value);
  unsaved.clear();
}

/** Keeps a message that was not answered where the box would find it after a reload; the box itself stays as it is. */
export function keepUnsent(chat: string, draft: Draft) {
  if (isEmpty(draftOf(chat).value)) write(nameOf(chat), draft);
}

export function forgetDraft(chat: string) {
  drafts.delete(nameOf(chat));
  unsaved.delete(nameOf(chat));
  kept.write(nameOf(chat), null);
}
