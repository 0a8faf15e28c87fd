// Chats as files: all branches, each as the server exports it.
import * as server from '../server';
import { chats, refreshChats, type Chat } from './chats';
import { newSessionName, randomLetters } from './names';

interface ExportFile {
  format: 'fulmen chats';
  version: 1;
  sessions: Record<string, unknown>[];
}

export async function exportChats(some: Chat[] = chats.peek()) {
  const texts: string[] = [];
  for (const { name } of some.flatMap((chat) => chat.sessions)) texts.push((await server.exportSession(name)).trim());
  // Put together as text: a session's checksum is over its text as the server wrote it.
  const file = `{"format":"fulmen chats","version":1,"sessions":[\n${texts.join(',\n')}\n]}\n`;
  const name = some.length === 1 ? some[0]!.title.replace(/[^\p{L}\p{N} _-]/gu, '').trim().slice(0, 60) || 'chat' : 'chats';
  save(file, `${name}.json`);
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
    const metadata = (session.metadata ?? {}) as Record<string, string>;
    const before = metadata.chat ?? `session:${String(session.name)}`;
    if (!ids.has(before)) ids.set(before, randomLetters(16));
    const name = newSessionName();
    await server.importSession(name, session);
    const title = metadata.title ?? String(session.name);
    await server.changeSession(name, { metadata: { chat: ids.get(before)!, title } });
  }
  await refreshChats();
  return ids.size;
}

function sessionsOf(text: string): Record<string, unknown>[] | null {
  try {
    const file = JSON.parse(text) as Partial<ExportFile> | Record<string, unknown>;
    if (file.format === 'fulmen session') return [file as Record<string, unknown>];
    return file.format === 'fulmen chats' && Array.isArray(file.sessions) ? file.sessions : null;
  } catch {
    return null;
  }
}
