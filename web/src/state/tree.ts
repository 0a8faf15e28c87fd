// A chat is several sessions, its branches, whose first turns are the same: together they are a tree of turns.
import { groupBy } from '../group';
import type { Answer, Message, Session } from '../types';

export interface Turn {
  /** Tells the turn from its siblings, and stays when the chat grows. */
  key: string;
  messages: Message[];
  tokens: number;
  answer: Answer | null;
  children: Turn[];
  /** Names of the sessions that this turn is part of. */
  sessions: string[];
  /** The session in which it is being answered. */
  pending?: string;
}

/** A turn under way, by the key of its request. */
export interface Pending {
  key: string;
  messages: Message[];
}

/** A turn on the way that is shown, with the turns that stand in its place in other branches. */
export interface Step {
  turn: Turn;
  siblings: Turn[];
}

/** Keys of finished turns that were on the page while they were answered: they keep the key they were drawn with. */
export const drawnAs = new Map<string, string>();

// In milliseconds, as the page noted it: two branches may be made within the second that the server tells.
const madeAt = ({ metadata, created }: Session) => Number(metadata.made) || created * 1000;

export function treeOf(sessions: Iterable<Session>, pending: ReadonlyMap<string, Pending> = new Map()): Turn {
  const root: Turn = { key: '', messages: [], tokens: 0, answer: null, children: [], sessions: [] };
  // Oldest first, so that branches keep their numbers when another is made.
  for (const session of [...sessions].sort((a, b) => madeAt(a) - madeAt(b) || (a.name < b.name ? -1 : 1))) {
    root.sessions.push(session.name);
    let at = root;
    let message = 0;
    for (const turn of session.turns) {
      const messages = session.messages.slice(message, message += turn.messages);
      const id = turn.answer?.id ?? JSON.stringify(messages);
      const key = drawnAs.get(id) ?? id;
      let next = at.children.find((child) => child.key === key);
      if (!next) {
        next = { key, messages, tokens: turn.tokens, answer: turn.answer, children: [], sessions: [] };
        at.children.push(next);
      }
      next.sessions.push(session.name);
      at = next;
    }
    const now = pending.get(session.name);
    if (now) at.children.push({ ...now, tokens: at.tokens, answer: null, children: [], sessions: [session.name], pending: session.name });
  }
  return root;
}

/** The turns of one session, first to last. */
export function wayOf(root: Turn, session: string): Step[] {
  const way: Step[] = [];
  for (let at = root; ;) {
    const next = at.children.find((child) => child.sessions.includes(session));
    if (!next) return way;
    way.push({ turn: next, siblings: at.children });
    at = next;
  }
}

/** A turn's messages before its answer. */
export function questionOf(turn: Turn): Message[] {
  const answer = turn.messages.findIndex(({ role }) => role === 'assistant');
  return answer < 0 ? turn.messages : turn.messages.slice(0, answer);
}

/** What stands in a turn's place: other questions, each with its turns, or other answers to the same question; and where the turn is. */
export function versionsOf({ turn, siblings }: Step, of: 'question' | 'answer'): { versions: Turn[][]; at: number } {
  if (siblings.length < 2) return { versions: [siblings], at: 0 };
  const questions = [...groupBy(siblings, (each) => JSON.stringify(questionOf(each))).values()];
  const own = questions.findIndex((turns) => turns.includes(turn));
  if (of === 'question') return { versions: questions, at: own };
  return { versions: questions[own]!.map((each) => [each]), at: questions[own]!.indexOf(turn) };
}
