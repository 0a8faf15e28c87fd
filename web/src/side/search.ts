// Searching the texts of all chats, which the server does.
import { computed, effect, signal } from '@preact/signals';
import * as server from '../server';
import { chatOf } from '../state/chats';
import type { SessionSummary } from '../types';

export const search = signal('');

/** Without control characters, which nobody means to look for; the server takes no NUL. */
export const cleaned = (text: string) => text.replace(/(?!\s)\p{Cc}/gu, '').trim();

/** What is asked for. */
export const wanted = computed(() => cleaned(search.value));

/** What was found for it; null while nothing is searched for. */
export const found = signal<SessionSummary[] | null>(null);

export const searchError = signal<unknown>(null);

const pauseMs = 180;

// Of a chat's branches the one used last is shown.
function oneEach(sessions: SessionSummary[]): SessionSummary[] {
  return [...new Map(sessions.toReversed().map((session) => [chatOf(session), session])).values()].reverse();
}

export function followSearch() {
  effect(() => {
    const text = wanted.value;
    if (text === '') {
      found.value = null;
      searchError.value = null;
      return undefined;
    }
    const control = new AbortController();
    const timer = setTimeout(() => {
      server.sessions({ search: text, limit: 100 }, control.signal).then((sessions) => {
        found.value = oneEach(sessions);
        searchError.value = null;
      }).catch((error) => { if (!control.signal.aborted) searchError.value = error; });
    }, pauseMs);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  });
}
