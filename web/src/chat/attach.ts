// Files for a message: texts and, where the model sees, pictures.
import { signal } from '@preact/signals';
import { seesImages } from '../state/me';
import { draftOf, setDraft } from '../state/drafts';
import type { Draft } from '../state/message';
import { t } from '../texts';

const largestText = 2_000_000;
const largestImage = 10_000_000;
/** A pasted text from this length on becomes a file. */
const longPaste = 4000;

/** What to say about the last file; `undo` puts a pasted text into the box after all. */
export const attachNote = signal<{ text: string; undo?: () => void } | null>(null);

function change(chat: string | null, by: (draft: Draft) => Partial<Draft>) {
  const draft = draftOf(chat).peek();
  setDraft(chat, { ...draft, ...by(draft) });
}

export async function attach(chat: string | null, files: Iterable<File>) {
  attachNote.value = null;
  for (const file of files) {
    const problem = file.type.startsWith('image/') && file.type !== 'image/svg+xml' ? await addImage(chat, file) : await addText(chat, file);
    if (problem) attachNote.value = { text: problem };
  }
}

async function addImage(chat: string | null, file: File): Promise<string | null> {
  if (!seesImages.peek()) return t.peek().notText(file.name);
  if (file.size > largestImage) return t.peek().tooLarge(file.name);
  try {
    (await createImageBitmap(file)).close();
  } catch {
    return t.peek().notImage(file.name);
  }
  const url = await dataUrl(file);
  change(chat, ({ images }) => ({ images: [...images, url] }));
  return null;
}

function dataUrl(file: File): Promise<string> {
  return new Promise((give, fail) => {
    const reader = new FileReader();
    reader.onload = () => give(String(reader.result));
    reader.onerror = () => fail(reader.error);
    reader.readAsDataURL(file);
  });
}

async function addText(chat: string | null, file: File): Promise<string | null> {
  if (file.size > largestText) return t.peek().tooLarge(file.name);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    return t.peek().notText(file.name);
  }
  if (text.includes('\0')) return t.peek().notText(file.name);
  change(chat, ({ files }) => ({ files: [...files, { name: file.name.replace(/[[\]\n]/g, '_').slice(0, 100), text }] }));
  return null;
}

/** Takes over a paste of files or of a long text; false leaves it to the browser. */
export function takePaste(chat: string | null, data: DataTransfer, box: HTMLTextAreaElement, numberText: (count: number) => string): boolean {
  if (data.files.length > 0) {
    void attach(chat, data.files);
    return true;
  }
  const text = data.getData('text/plain').replace(/\r\n?/g, '\n');
  if (text.length < longPaste) return false;
  const at = box.selectionStart;
  const taken = new Set(draftOf(chat).peek().files.map(({ name }) => name));
  let name = `${t.peek().pastedName}.txt`;
  for (let next = 2; taken.has(name); next++) name = `${t.peek().pastedName}-${next}.txt`;
  const file = { name, text };
  change(chat, ({ files }) => ({ files: [...files, file] }));
  attachNote.value = {
    text: t.peek().pasted(numberText(text.length)),
    undo: () => {
      attachNote.value = null;
      change(chat, ({ files, text: typed }) => ({ files: files.filter((each) => each !== file), text: typed.slice(0, at) + text + typed.slice(at) }));
    },
  };
  return true;
}

export function removeFile(chat: string | null, at: number) {
  attachNote.value = null;
  change(chat, ({ files }) => ({ files: files.filter((_, index) => index !== at) }));
}

export function removeImage(chat: string | null, at: number) {
  change(chat, ({ images }) => ({ images: images.filter((_, index) => index !== at) }));
}
