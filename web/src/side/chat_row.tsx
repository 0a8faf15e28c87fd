// A chat in the list, and what can be done with it.
import { useRef, useState } from 'preact/hooks';
import { Dialog } from '../dialog';
import { ErrorLine } from '../errors';
import { Menu } from '../menu';
import { go, hrefOf, route } from '../route';
import { answerings, isRunning } from '../state/answering';
import { deleteChat, renameChat, type Chat } from '../state/chats';
import { exportChats } from '../state/transfer';
import { t } from '../texts';

// Here, or as the server told last.
function isAnswered(chat: Chat): boolean {
  return chat.sessions.some(({ name, under_way: underWay }) => {
    const answering = answerings.value.get(name);
    return answering ? isRunning(answering.phase.value) : underWay !== null;
  });
}

export function ChatRow({ chat }: { chat: Chat }) {
  const [doing, setDoing] = useState<'rename' | 'delete' | null>(null);
  const [error, setError] = useState<unknown>(null);
  const here = route.value.view === 'chat' && route.value.chat === chat.id;
  const attempt = (work: Promise<void>) => {
    setError(null);
    void work.catch(setError);
  };
  if (doing === 'rename') return <Rename chat={chat} onDone={() => setDoing(null)} attempt={attempt} />;
  return (
    <li class="chat-row">
      <a href={hrefOf({ view: 'chat', chat: chat.id })} aria-current={here ? 'page' : undefined} title={chat.title}>
        <span>{chat.title}</span>
        {isAnswered(chat) && <i class="pulse" title={t.value.answering} />}
      </a>
      <Menu
        label={t.value.more(chat.title)}
        items={[
          { icon: 'edit', label: t.value.rename, onPick: () => setDoing('rename') },
          { icon: 'download', label: t.value.exportChat, onPick: () => attempt(exportChats([chat])) },
          { icon: 'trash', label: t.value.deleteChat, danger: true, onPick: () => setDoing('delete') },
        ]}
      />
      {error !== null && <ErrorLine error={error} />}
      {doing === 'delete' && <Delete chat={chat} here={here} onDone={() => setDoing(null)} />}
    </li>
  );
}

interface RenameProps {
  chat: Chat;
  onDone: () => void;
  attempt: (work: Promise<void>) => void;
}

function Rename({ chat, onDone, attempt }: RenameProps) {
  const box = useRef<HTMLInputElement>(null);
  const left = useRef(false);
  const save = () => {
    const title = box.current!.value.trim();
    if (!left.current && title !== '' && title !== chat.title) attempt(renameChat(chat, title));
    left.current = true;
    onDone();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === 'Enter') save();
    if (event.key !== 'Escape') return;
    event.stopPropagation();
    left.current = true;
    onDone();
  };
  return (
    <li class="chat-row">
      <input
        ref={(input) => { if (input && !box.current) { box.current = input; input.focus(); input.select(); } }}
        type="text" defaultValue={chat.title} maxLength={200} aria-label={t.value.newName} onBlur={save} onKeyDown={onKeyDown}
      />
    </li>
  );
}

function Delete({ chat, here, onDone }: { chat: Chat; here: boolean; onDone: () => void }) {
  const [error, setError] = useState<unknown>(null);
  const remove = async () => {
    try {
      await deleteChat(chat);
      if (here) go({ view: 'chat', chat: null }, true);
      onDone();
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <Dialog title={t.value.deleteTitle} onClose={onDone}>
      <p>{t.value.deleteText(chat.title, chat.sessions.length)}</p>
      {error !== null && <ErrorLine error={error} />}
      <p class="dialog-buttons">
        <button type="button" class="button quiet" onClick={onDone}>{t.value.cancel}</button>
        <button type="button" class="button danger" onClick={() => void remove()}>{t.value.deleteChat}</button>
      </p>
    </Dialog>
  );
}
