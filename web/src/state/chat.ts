// The chat that is open: its branches, the way that is shown, and what is done to its turns.
import { batch, computed, effect, signal, untracked } from '@preact/signals';
import { route } from '../route';
import type { Session, SessionSummary } from '../types';
import { answerings, dropAnswering, isRunning } from './answering';
import { chatById, chatOf, listed, listSession } from './chats';
import { noteSession, readSession } from './keeper';
import { settingsOf } from './settings';
import { treeOf, wayOf } from './tree';

/** Sessions that were read from the server, by name. */
export const loaded = signal<ReadonlyMap<string, Session>>(new Map());
export const loadError = signal<unknown>(null);

export const chatId = computed(() => (route.value.view === 'chat' ? route.value.chat : null));

/** A turn that was searched for, to be gone to. */
export const wantedTurn = signal<number | null>(null);

// The branch that was chosen last in each chat.
const chosen = signal<ReadonlyMap<string, string>>(new Map());

// The branch that was shown first since the chat was gone to: it stays when another is made elsewhere.
const opened = signal<{ chat: string; name: string } | null>(null);

/** The name of the session that is shown; null in a new chat and while the list is not there. */
export const shownName = computed(() => {
  if (chatId.value === null) return null;
  const choice = chosen.value.get(chatId.value) ?? (opened.value?.chat === chatId.value ? opened.value.name : undefined);
  const sessions = chatById(chatId.value)?.sessions ?? [];
  return sessions.find(({ name }) => name === choice)?.name ?? sessions[0]?.name ?? null;
});

export const shown = computed(() => (shownName.value === null ? null : loaded.value.get(shownName.value) ?? null));
export const missing = computed(() => chatId.value !== null && listed.value && shownName.value === null);
export const settings = computed(() => settingsOf(shown.value));

const tree = computed(() => {
  const sessions = [...loaded.value.values()].filter((session) => chatOf(session) === chatId.value);
  return treeOf(sessions, new Map([...answerings.value].map(([name, { key, messages }]) => [name, { key, messages }])));
});

/** The turns that are shown, first to last; the last one may be under way. */
export const way = computed(() => (shownName.value === null ? [] : wayOf(tree.value, shownName.value)));

export const shownAnswering = computed(() => (shownName.value === null ? null : answerings.value.get(shownName.value) ?? null));

/** Tokens of the sequence that is shown. */
export const contextUsed = computed(() => shown.value?.turns.at(-1)?.tokens ?? 0);

export function showBranch(chat: string, session: string) {
  chosen.value = new Map(chosen.value).set(chat, session);
}

export function keepSession(session: Session) {
  noteSession(session);
  loaded.value = new Map(loaded.value).set(session.name, session);
}

export function forgetSession(name: string) {
  const rest = new Map(loaded.value);
  rest.delete(name);
  loaded.value = rest;
}

export function summaryOf(session: Session): SessionSummary {
  const { system: _, messages: __, turns, ...head } = session;
  return { ...head, turns: turns.length, tokens: turns.at(-1)?.tokens ?? 0, damaged: false };
}

/** Takes a session into the store and the list. */
export function takeSession(session: Session) {
  batch(() => {
    keepSession(session);
    listSession(summaryOf(session));
  });
}

export async function loadSession(name: string) {
  keepSession(await readSession(name));
}

async function loadChat(id: string) {
  const first = shownName.value;
  if (first === null) return;
  loadError.value = null;
  try {
    if (!loaded.value.has(first)) await loadSession(first);
    for (const { name } of chatById(id)?.sessions ?? []) {
      if (chatId.value !== id) return;
      if (!loaded.value.has(name)) await loadSession(name);
    }
  } catch (error) {
    if (chatId.value === id) loadError.value = error;
  }
}

/** Reads the shown chat's sessions that changed elsewhere, as the list tells. */
export async function refreshShown() {
  if (!shown.value) return; // it is read from the start
  for (const summary of chatById(chatId.value ?? '')?.sessions ?? []) {
    const { name, turns, under_way: underWay } = summary;
    const session = loaded.value.get(name);
    const answering = answerings.value.get(name);
    if (answering && (isRunning(answering.phase.value) || answering.key === underWay?.idempotency_key)) continue;
    if (session?.turns.length === turns && underWay === null) continue;
    // A question that failed here goes when the chat has gone on without it.
    if (answering) dropAnswering(answering);
    await loadSession(name).catch(() => {});
  }
}

export function reloadChat() {
  if (chatId.value !== null) void loadChat(chatId.value);
}

/** Loads each chat that is gone to, and lets go of the one before. */
export function followRoute() {
  effect(() => {
    const id = chatId.value;
    const name = shownName.value;
    untracked(() => {
      if (id === null || name === null) opened.value = null;
      else if (opened.value?.chat !== id) opened.value = { chat: id, name };
      loaded.value = new Map([...loaded.value].filter(([name, session]) => chatOf(session) === id || answerings.value.has(name)));
      if (id !== null && name !== null) void loadChat(id);
    });
  });
}
