// Chats as files: all branches, each as the server exports it.
import * as server from '../server';
import { chats, refreshChats, type Chat } from './chats';
import { newSessionName, randomLetters } from './names';
import { tellOthers } from './others';

interface ExportFile {
  format: 'fulmen chats';
  version: 1;
  /** Each as the server wrote it: its checksum is over these very characters. */
  sessions: string[];
}

export async function exportChats(some: Chat[] = chats.peek()) {
  const file: ExportFile = { format: 'fulmen chats', version: 1, sessions: [] };
  for (const { name } of some.flatMap((chat) => chat.sessions)) file.sessions.push(await server.exportSession(name));
  const name = some.length === 1 ? some[0]!.title.replace(/[^\p{L}\p{N} _-]/gu, '').trim().slice(0, 60) || 'chat' : 'chats';
  save(JSON.stringify(file), `${name}.json`);
}

function save(text: string, name: string) {
  const url = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Stores the chats of a file as new ones and returns how many; null for a file of another kind. */
export async function importChats(file: File): Promise<number | null> {
  const sessions = sessionsOf(await file.text());
  if (!sessions) return null;
  // Each chat gets an id of its own, so that importing twice changes nothing that is there.
  const ids = new Map<string, string>();
  for (const session of sessions) {
    const { name: before, metadata = {} } = JSON.parse(session) as { name: string; metadata?: Record<string, string> };
    const chat = metadata.chat ?? before;
    if (!ids.has(chat)) ids.set(chat, randomLetters(16));
    const name = newSessionName();
    await server.importSession(name, session);
    await server.changeSession(name, { metadata: { chat: ids.get(chat)!, title: metadata.title ?? before } });
  }
  await refreshChats();
  tellOthers();
  return ids.size;
}

const isSession = (text: unknown) => typeof text === 'string' && JSON.parse(text)?.format === 'fulmen session';

function sessionsOf(text: string): string[] | null {
  try {
    const file = JSON.parse(text) as Partial<ExportFile> | { format: 'fulmen session' };
    if (file.format === 'fulmen session') return [text];
    return file.format === 'fulmen chats' && Array.isArray(file.sessions) && file.sessions.every(isSession) ? file.sessions : null;
  } catch {
    return null;
  }
}
