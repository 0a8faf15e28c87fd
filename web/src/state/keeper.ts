// Where sessions are kept: on the server or, where that keeps none, in this page as long as it is open.
import { computed } from '@preact/signals';
import * as server from '../server';
import type { Completion, Fork, Message, NewSession, Session, SessionChange } from '../types';
import { me } from './me';

/** Whether chats are still there when the page is opened again. */
export const keepsChats = computed(() => me.value?.keeps_sessions !== false);

const own = new Map<string, Session>();

const now = () => Math.floor(Date.now() / 1000);

export async function makeSession({ name, model = '', system = '', metadata = {} }: NewSession): Promise<Session> {
  if (keepsChats.peek()) return server.makeSession({ name, metadata, ...(model ? { model } : {}), ...(system ? { system } : {}) });
  const session: Session = {
    namespace: '', name, model, chat_format: null, created: now(), used: now(), expires: null, metadata, under_way: null, system, messages: [], turns: [],
  };
  own.set(name, session);
  return session;
}

export async function forkSession(source: Session, fork: Fork): Promise<Session> {
  const copy = { ...source, created: now(), used: now(), ...fork, turns: source.turns };
  if (keepsChats.peek()) await server.forkSession(source.name, fork);
  else own.set(copy.name, copy);
  return copy;
}

export async function readSession(name: string): Promise<Session> {
  if (keepsChats.peek()) return server.session(name);
  const session = own.get(name);
  if (!session) throw new server.ServerError('', 404);
  return session;
}

/** Takes note of what became of a session here; a server that keeps sessions knows it already. */
export function noteSession(session: Session) {
  if (!keepsChats.peek()) own.set(session.name, session);
}

export async function changeSession(name: string, change: SessionChange) {
  if (keepsChats.peek()) await server.changeSession(name, change);
}

export async function removeSession(name: string) {
  if (keepsChats.peek()) await server.removeSession(name);
  else own.delete(name);
}

/** What is asked for a turn of the session: the new messages where the server knows the others. */
export function turnOf(session: Session, messages: Message[]): Pick<Completion, 'session' | 'messages'> {
  if (keepsChats.peek()) return { session: session.name, messages };
  const system: Message[] = session.system ? [{ role: 'system', content: session.system }] : [];
  return { messages: [...system, ...session.messages, ...messages] };
}
