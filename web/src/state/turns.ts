// What is done in a chat: send, retry, edit, stop.
import { batch, effect, signal } from '@preact/signals';
import { go } from '../route';
import * as server from '../server';
import type { Message, Session } from '../types';
import { addAnswering, answeringOf, answerings, dropAnswering, readAnswer, type Answering, type Outcome } from './answering';
import { chatId, forgetSession, keepSession, loaded, loadSession, refreshShown, settings, showBranch, shown, summaryOf, takeSession } from './chat';
import { chatOf, listSession, refreshChats, unlistSession } from './chats';
import { draftOf as boxOf, keepUnsent, saveDrafts, setDraft } from './drafts';
import { draftOf, emptyDraft, isEmpty, messageOf, textOf, type Draft } from './message';
import { newSessionName, randomLetters, titleOf } from './names';
import { tellOthers } from './others';
import { modelOf, newChatSettings, newChatSystem, samplingOf, settingsOf } from './settings';
import { changeSession, forkSession, keepsChats, makeSession, readSession, removeSession, turnOf } from './keeper';
import { drawnAs, questionOf, type Turn } from './tree';
import { t } from '../texts';

/** The last thing that happened to an answer, for those who cannot see it. */
export const announced = signal<{ what: 'started' | 'done' | 'stopped' | 'failed' } | null>(null);

/** Why the message in the box was not sent. */
export const sendError = signal<{ chat: string | null; error: unknown } | null>(null);
export const sending = signal(false);

// Stop came while the chat was being made, before there was an answer to end.
let stopWanted = false;

// Keys of the requests whose answers were or are being read.
const known = new Set<string>();

/** Sends what is in the box of the chat that is open. */
export async function send() {
  const chat = chatId.peek();
  const draft = boxOf(chat).peek();
  if (isEmpty(draft) || sending.peek()) return;
  sending.value = true;
  stopWanted = false;
  sendError.value = null;
  try {
    const session = shown.peek() ?? await beginChat(draft);
    await ask(session, [messageOf(draft)], () => setDraft(chat, emptyDraft), (error) => {
      const elsewhere = error instanceof server.ServerError && error.status === 409;
      if (elsewhere) void refreshChats().then(refreshShown);
      sendError.value = wantsKey(error) ? null : { chat: chatOf(session), error: elsewhere ? new server.ServerError(t.peek().errors.elsewhere, 409) : error };
      if (chat === null) setDraft(chatOf(session), draft);
      setDraft(null, chat === null ? emptyDraft : boxOf(null).peek());
    });
  } catch (error) {
    sendError.value = wantsKey(error) ? null : { chat, error };
  } finally {
    sending.value = false;
    saveDrafts();
  }
}

// The page asks for a key then, and the message waits in its box.
const wantsKey = (error: unknown) => error instanceof server.ServerError && error.status === 401;

async function beginChat(draft: Draft): Promise<Session> {
  const id = randomLetters(16);
  const model = modelOf(newChatSettings.peek())?.id;
  const given = { ...newChatSettings.peek(), ...(model ? { model } : {}) };
  const title = titleOf(draft.text) || draft.files[0]?.name || t.peek().image;
  const session = await makeSession({
    name: `chat-${id}`,
    ...(model ? { model } : {}),
    ...(newChatSystem.peek().trim() ? { system: newChatSystem.peek().trim() } : {}),
    metadata: { chat: id, made: String(Date.now()), settings: JSON.stringify(given), title },
  });
  batch(() => {
    takeSession(session);
    go({ view: 'chat', chat: id }, true);
  });
  return session;
}

/**
 * Asks for the answer to these messages. Returns once the server has taken them, or refused them: `refused` is then called
 * and the turn is gone; without it the turn stays and shows the error.
 */
function ask(session: Session, messages: Message[], taken = () => {}, refused?: (error: unknown) => void): Promise<void> {
  const answering = answeringOf(session.name, randomLetters(24), messages);
  known.add(answering.key);
  if (stopWanted) answering.phase.value = 'stopping';
  stopWanted = false;
  addAnswering(answering);
  let isTaken = false;
  const own = settingsOf(session);
  const completion = { model: modelOf(own)?.id ?? '', ...turnOf(session, messages), ...samplingOf(own) };
  return new Promise((go) => {
    const accepted = () => {
      isTaken = true;
      taken();
      // Stop came before the server knew of what.
      if (answering.phase.peek() === 'stopping') void cancel(answering);
      announced.value = { what: 'started' };
      tellOthers();
      go();
    };
    void finish(answering, readAnswer(answering, () => server.complete(completion, answering.key, answering.control.signal), accepted), (error) => {
      if (isTaken || !refused) return false;
      dropAnswering(answering);
      refused(error);
      return true;
    }).finally(() => {
      tellOthers();
      go();
    });
  });
}

// Reads along an answer that was asked for before, here or elsewhere.
function follow(answering: Answering): Promise<void> {
  const read = () => server.readAlong(answering.key, answering.control.signal);
  return finish(answering, readAnswer(answering, read, () => {}), (error) => {
    if (!(error instanceof server.ServerError) || error.status !== 404) return false;
    // It is not known any more: the session tells what came of it.
    dropAnswering(answering);
    void loadSession(answering.session).catch(() => {});
    return true;
  });
}

/** Picks up the answers that are under way in sessions as these are read from the server. */
export function followAnswers() {
  effect(() => {
    for (const { name, under_way: underWay } of loaded.value.values()) {
      const key = underWay?.idempotency_key;
      if (!key || known.has(key) || answerings.peek().has(name)) continue;
      const answering = answeringOf(name, key, underWay.messages);
      known.add(key);
      addAnswering(answering);
      void follow(answering);
    }
  });
}

async function finish(answering: Answering, outcome: Promise<Outcome>, handled: (error: unknown) => boolean) {
  try {
    await settle(answering, await outcome);
  } catch (error) {
    if (answering.control.signal.aborted || handled(error)) return;
    // The server was started anew, or has let go of the answer: what it kept of it is in the session.
    const forgotten = error instanceof server.ServerError && error.status === 404 && answering.phase.peek() === 'lost';
    if (forgotten && await takeKept(answering)) return;
    batch(() => {
      answering.error.value = forgotten ? new server.ServerError(t.peek().errors.forgotten, 404) : error;
      answering.phase.value = 'failed';
      announced.value = { what: 'failed' };
    });
    const session = loaded.peek().get(answering.session);
    if (session) keepUnsent(chatOf(session), draftOf(answering.messages[0]!));
  }
  // Another page may have had turns of its own in the meantime.
  void refreshChats().then(refreshShown);
}

// An answer that ended becomes a turn of its session, here as it did on the server.
async function settle(answering: Answering, { text, thoughts, answer }: Outcome) {
  const stopped = answering.phase.peek() === 'stopping';
  const session = loaded.peek().get(answering.session);
  if (!session) {
    dropAnswering(answering);
  } else if (answer && text && (!keepsChats.peek() || (answer.finish_reason === 'stop' && !stopped))) {
    const reply: Message = { role: 'assistant', content: text, ...(thoughts ? { reasoning_content: thoughts } : {}) };
    const messages = [...answering.messages, reply];
    drawnAs.set(answer.id, answering.key);
    take(answering, {
      ...session, used: Math.floor(Date.now() / 1000), under_way: null, messages: [...session.messages, ...messages],
      turns: [...session.turns, { messages: messages.length, tokens: answer.usage.total_tokens, answer }],
    });
  } else {
    // Whether it was cut off or cancelled, here or elsewhere, only the session tells.
    const before = session.turns.length;
    const fresh = await readSession(session.name);
    const kept = fresh.turns.length > before;
    const id = fresh.turns.at(-1)?.answer?.id;
    if (kept && id) drawnAs.set(id, answering.key);
    take(answering, fresh);
    if (!kept) backToBox(chatOf(session), answering.messages);
  }
  announced.value = { what: stopped ? 'stopped' : 'done' };
}

async function takeKept(answering: Answering): Promise<boolean> {
  const before = loaded.peek().get(answering.session)?.turns.length ?? 0;
  const fresh = await readSession(answering.session).catch(() => null);
  if (!fresh || fresh.turns.length <= before) return false;
  take(answering, fresh);
  announced.value = { what: 'done' };
  return true;
}

function take(answering: Answering, session: Session) {
  batch(() => {
    answering.phase.value = 'done';
    keepSession(session);
    listSession(summaryOf(session));
    dropAnswering(answering);
  });
}

function backToBox(chat: string, messages: Message[]) {
  if (isEmpty(boxOf(chat).peek())) setDraft(chat, draftOf(messages[0]!));
}

/** Ends the answer of the branch that is shown; what was written until then stays. */
export async function stop() {
  const answering = shown.peek() && answerings.peek().get(shown.peek()!.name);
  if (!answering) stopWanted = sending.peek();
  if (!answering || answering.phase.peek() === 'stopping' || answering.phase.peek() === 'failed') return;
  answering.phase.value = 'stopping';
  await cancel(answering);
}

async function cancel(answering: Answering) {
  try {
    await server.cancel(answering.key);
  } catch {
    // Not known yet, or not any more: then it is ended once it is, or its reader will see that it has.
  }
}

/** Asks again, in a branch that leaves the shown one before this turn. */
export const retry = (step: number, turn: Turn) => branch(step, questionOf(turn));

/** Asks something else in this turn's place, in a branch of its own. */
export const edit = (step: number, draft: Draft) => branch(step, [messageOf(draft)]);

async function branch(step: number, messages: Message[]) {
  const source = shown.peek();
  if (!source) return;
  const metadata = { ...source.metadata, chat: chatOf(source), made: String(Date.now()) };
  const session = await forkSession(source, { name: newSessionName(), turns: step, metadata });
  // The fork shares what is known of the turns before, so that nothing needs to be read.
  const turns = source.turns.slice(0, step);
  const count = turns.reduce((sum, turn) => sum + turn.messages, 0);
  const fork: Session = { ...source, ...session, metadata, under_way: null, turns, messages: source.messages.slice(0, count) };
  batch(() => {
    takeSession(fork);
    showBranch(metadata.chat, fork.name);
  });
  await ask(fork, messages);
}

/** Asks once more for an answer that failed. */
export function askAgain(answering: Answering) {
  dropAnswering(answering);
  const session = loaded.peek().get(answering.session);
  if (session) void ask(session, answering.messages);
}

/** Takes a turn that failed off the page, and its text back into the box. */
export async function giveUp(answering: Answering) {
  const session = loaded.peek().get(answering.session);
  dropAnswering(answering);
  if (!session) return;
  backToBox(chatOf(session), answering.messages);
  const others = [...loaded.peek().values()].filter((other) => other !== session && chatOf(other) === chatOf(session));
  const spare = others.some((other) => other.turns.length >= session.turns.length && sameStart(other, session));
  if (!spare) return;
  // A branch without a turn of its own is of no use to anybody.
  await removeSession(session.name);
  unlistSession(session.name);
  forgetSession(session.name);
}

const sameStart = (other: Session, session: Session) => session.turns.every((turn, at) => turn.answer?.id === other.turns[at]?.answer?.id);

/** What a turn's answer says. */
export const answerText = (turn: Turn) => turn.messages.filter(({ role }) => role === 'assistant').map(textOf).join('\n\n');

/** Changes how the shown chat is answered from now on. */
export async function changeSettings(change: Record<string, unknown>) {
  const session = shown.peek();
  const next = Object.fromEntries(Object.entries({ ...settings.peek(), ...change }).filter(([, value]) => value !== undefined));
  if (!session) {
    newChatSettings.value = next;
    return;
  }
  const metadata = { ...session.metadata, settings: JSON.stringify(next) };
  keepSession({ ...session, metadata });
  await changeSession(session.name, { metadata: { settings: metadata.settings } });
}
