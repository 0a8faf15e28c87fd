// The chats, by the day they were last used; while something is searched for, those that have it.
import { useState } from 'preact/hooks';
import { ErrorLine } from '../errors';
import { dayOf, monthName } from '../format';
import { groupBy } from '../group';
import { hrefOf } from '../route';
import { showBranch, wantedTurn } from '../state/chat';
import { chatOf, chats, listed, listError, refreshChats, type Chat } from '../state/chats';
import { keepsChats } from '../state/keeper';
import { language, t } from '../texts';
import type { SessionSummary } from '../types';
import { ChatRow } from './chat_row';
import { found, searchError, wanted } from './search';

const step = 150;

export function ChatList() {
  const [limit, setLimit] = useState(step);
  const onScroll = ({ currentTarget: list }: { currentTarget: HTMLElement }) => {
    if (list.scrollHeight - list.scrollTop < 2 * list.clientHeight && limit < chats.value.length) setLimit(limit + step);
  };
  return (
    <div class="chat-list" onScroll={onScroll}>
      {found.value ? <Found sessions={found.value} /> : <Days chats={chats.value.slice(0, limit)} />}
      {searchError.value !== null && <ErrorLine error={searchError.value} />}
      {listError.value !== null && (
        <ErrorLine error={listError.value}>
          <button type="button" class="button" onClick={() => void refreshChats()}>{t.value.retry}</button>
        </ErrorLine>
      )}
    </div>
  );
}

function Days({ chats: shown }: { chats: Chat[] }) {
  if (!keepsChats.value && shown.length === 0) return <p class="quiet hint">{t.value.keepsNone}</p>;
  if (shown.length === 0) return listed.value ? <p class="quiet hint">{t.value.noChats}</p> : null;
  const now = new Date();
  const days = groupBy(shown, ({ used }) => dayOf(used, now));
  return (
    <>
      {[...days].map(([day, some]) => (
        <section key={day}>
          <h2>{headingOf(day)}</h2>
          <ul>{some.map((chat) => <ChatRow chat={chat} key={chat.id} />)}</ul>
        </section>
      ))}
    </>
  );
}

function headingOf(day: string): string {
  const texts = t.value;
  switch (day) {
    case 'today': return texts.today;
    case 'yesterday': return texts.yesterday;
    case 'week': return texts.week;
    case 'month': return texts.month;
    default: return monthName(day, language.value);
  }
}

function pick(session: SessionSummary) {
  showBranch(chatOf(session), session.name);
  wantedTurn.value = session.match?.turn ?? null;
}

function Found({ sessions }: { sessions: SessionSummary[] }) {
  if (sessions.length === 0) return <p class="quiet hint">{t.value.noMatch}</p>;
  return (
    <ul class="found">
      {sessions.map((session) => (
        <li key={session.name}>
          <a href={hrefOf({ view: 'chat', chat: chatOf(session) })} onClick={() => pick(session)}>
            <strong>{session.metadata.title ?? session.name}</strong>
            {session.match?.excerpt && <span><Marked text={session.match.excerpt} part={wanted.value} /></span>}
          </a>
        </li>
      ))}
    </ul>
  );
}

function Marked({ text, part }: { text: string; part: string }) {
  const at = text.toLowerCase().indexOf(part.toLowerCase());
  if (at < 0) return <>{text}</>;
  return <>{text.slice(0, at)}<mark>{text.slice(at, at + part.length)}</mark>{text.slice(at + part.length)}</>;
}
