// A user's message: its text, attached text files and pictures, and how it is written for the model.
import type { Message, Part } from '../types';

export interface TextFile {
  name: string;
  text: string;
}

export interface Draft {
  text: string;
  files: TextFile[];
  /** data: URLs */
  images: string[];
}

export const emptyDraft: Draft = { text: '', files: [], images: [] };

export const isEmpty = ({ text, files, images }: Draft) => text.trim() === '' && files.length === 0 && images.length === 0;

// A file stands after the text in a fence that is longer than any in it, below a line with its name.
function written(file: TextFile): string {
  const longest = Math.max(2, ...(file.text.match(/`+/g) ?? []).map(({ length }) => length));
  const fence = '`'.repeat(longest + 1);
  return `[${file.name}]\n${fence}\n${file.text}\n${fence}`;
}

const lastFile = /(?:^|\n\n)\[([^\]\n]{1,100})\]\n(`{3,})\n([\s\S]*)\n\2$/;

export function messageOf({ text, files, images }: Draft): Message {
  const all = [text.trim(), ...files.map(written)].filter((part) => part !== '').join('\n\n');
  if (images.length === 0) return { role: 'user', content: all };
  const parts: Part[] = images.map((url) => ({ type: 'image_url', image_url: { url } }));
  return { role: 'user', content: [...(all ? [{ type: 'text', text: all } as Part] : []), ...parts] };
}

export function textOf(message: Message): string {
  if (typeof message.content === 'string') return message.content;
  return (message.content ?? []).map((part) => (part.type === 'text' ? part.text : '')).join('');
}

/** The draft that a message was made of. */
export function draftOf(message: Message): Draft {
  let text = textOf(message);
  const files: TextFile[] = [];
  for (let found = lastFile.exec(text); found; found = lastFile.exec(text)) {
    const start = startOfFile(text, found);
    files.unshift({ name: start.name, text: start.text });
    text = text.slice(0, start.at);
  }
  const parts = Array.isArray(message.content) ? message.content : [];
  return { text, files, images: parts.flatMap((part) => (part.type === 'image_url' ? [part.image_url.url] : [])) };
}

// The first match takes in what stands between two files with the same fence: look for a later head before the same end.
function startOfFile(text: string, first: RegExpExecArray) {
  let at = first.index;
  let [, name = '', , body = ''] = first;
  for (let next = lastFile.exec(`\n\n${body}\n${first[2]}`); next; next = lastFile.exec(`\n\n${body}\n${first[2]}`)) {
    if (next[2] !== first[2]) break;
    at = text.length - next[0].length;
    [, name = '', , body = ''] = next;
  }
  return { at: Math.max(at, 0), name, text: body };
}
