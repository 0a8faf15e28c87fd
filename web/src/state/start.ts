// What the page does when it opens, and while it is open.
import { refreshShown, followRoute } from './chat';
import { refreshChats, refreshChatsAnew, summaries } from './chats';
import { draftOf, saveDrafts, setDraft } from './drafts';
import { answerings } from './answering';
import { loadMe, mustLogIn } from './me';
import { whenTold } from './others';
import { followAnswers } from './turns';
import { go } from '../route';
import { followSearch } from '../side/search';

const pollMs = 5000;

/** Reads who we are and the chats; once at the start, and again after a login. */
export function start() {
  void loadMe(() => void refreshChats());
}

/** A link's ?q= fills the box and sends nothing. */
function takeQuestion() {
  const address = new URL(location.href);
  const question = address.searchParams.get('q');
  if (question === null) return;
  address.searchParams.delete('q');
  history.replaceState(null, '', address.pathname + address.search + address.hash);
  go({ view: 'chat', chat: null }, true);
  setDraft(null, { ...draftOf(null).peek(), text: question });
}

async function refresh() {
  if (document.hidden || mustLogIn.peek()) return;
  await refreshChatsAnew();
  await refreshShown();
}

// Answers that other pages and programs asked for are seen to end.
function otherAnswers() {
  return summaries.peek().some(({ name, under_way: underWay }) => underWay !== null && !answerings.peek().has(name));
}

export function live() {
  takeQuestion();
  followRoute();
  followAnswers();
  followSearch();
  start();
  addEventListener('pagehide', saveDrafts);
  document.addEventListener('visibilitychange', () => {
    saveDrafts();
    void refresh();
  });
  addEventListener('focus', () => void refresh());
  whenTold(() => void refresh());
  setInterval(() => { if (otherAnswers()) void refresh(); }, pollMs);
}
