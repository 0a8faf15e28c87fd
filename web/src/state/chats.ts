// The list of chats, made from the server's sessions.
import { computed, signal } from '@preact/signals';
import * as server from '../server';
import type { SessionHead, SessionSummary } from '../types';
import { answerings, dropAnswering } from './answering';
import { forgetDraft } from './drafts';
import { changeSession, keepsChats, removeSession } from './keeper';
import { tellOthers } from './others';

export interface Chat {
  id: string;
  title: string;
  /** Its branches, last used first. */
  sessions: SessionSummary[];
  used: number;
}

export const summaries = signal<SessionSummary[]>([]);
export const listed = signal(false);
export const listError = signal<unknown>(null);

/** The chat that a session belongs to. One that another program made is a chat of its own. */
export const chatOf = (session: SessionHead) => session.metadata.chat ?? `session:${session.name}`;

function grouped(all: SessionSummary[]): Chat[] {
  const chats = new Map<string, Chat>();
  for (const session of all) {
    const id = chatOf(session);
    const chat = chats.get(id);
    if (chat) chat.sessions.push(session);
    else chats.set(id, { id, title: session.metadata.title ?? session.name, sessions: [session], used: session.used });
  }
  return [...chats.values()];
}

export const chats = computed(() => grouped(summaries.value));
export const chatById = (id: string) => chats.value.find((chat) => chat.id === id);

const pageSize = 500;
let refreshing: Promise<void> | null = null;

// What was put into the list and taken out of it while it is read anew: the answer may not know of it.
let meanwhile = new Map<string, SessionSummary | null>();

/** Asks for the list anew; a call while one is under way waits for that one. */
export function refreshChats(): Promise<void> {
  if (!refreshing) {
    meanwhile = new Map();
    refreshing = readAll().finally(() => { refreshing = null; });
  }
  return refreshing;
}

/** The same, but a list that is being read already may be too old: it is read once more. */
export async function refreshChatsAnew() {
  await refreshing;
  await refreshChats();
}

function withMeanwhile(all: SessionSummary[]): SessionSummary[] {
  const own = [...meanwhile.values()].filter((session) => session !== null).reverse();
  return [...own, ...all.filter(({ name }) => !meanwhile.has(name))];
}

async function readAll() {
  if (!keepsChats.peek()) {
    listed.value = true;
    return;
  }
  try {
    const all: SessionSummary[] = [];
    for (let page = pageSize, after = ''; page === pageSize;) {
      const some = await server.sessions({ limit: pageSize, after });
      all.push(...some);
      page = some.length;
      after = some.at(-1)?.name ?? '';
      if (!listed.value) summaries.value = [...all];
    }
    summaries.value = withMeanwhile(all);
    listed.value = true;
    listError.value = null;
  } catch (error) {
    listError.value = error;
  }
}

/** Puts what is known of a session into the list, as the one used last. */
export function listSession(session: SessionSummary) {
  meanwhile.delete(session.name);
  meanwhile.set(session.name, session);
  summaries.value = [session, ...summaries.value.filter(({ name }) => name !== session.name)];
}

export function unlistSession(name: string) {
  meanwhile.set(name, null);
  summaries.value = summaries.value.filter((session) => session.name !== name);
}

export async function renameChat(chat: Chat, title: string) {
  await Promise.all(chat.sessions.map(({ name }) => changeSession(name, { metadata: { title } })));
  const names = new Set(chat.sessions.map(({ name }) => name));
  summaries.value = summaries.value.map((session) => (
    names.has(session.name) ? { ...session, metadata: { ...session.metadata, title } } : session
  ));
  tellOthers();
}

export async function deleteChat(chat: Chat) {
  for (const { name, under_way: underWay } of chat.sessions) {
    // Nobody will read what is still being written.
    const answering = answerings.peek().get(name);
    answering?.control.abort();
    if (answering) dropAnswering(answering);
    const key = answering?.key ?? underWay?.idempotency_key;
    if (key) await server.cancel(key).catch(() => {});
    await removeSession(name);
    unlistSession(name);
  }
  forgetDraft(chat.id);
  tellOthers();
}
