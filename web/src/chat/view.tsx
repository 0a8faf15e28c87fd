// The view of a chat: its head, its turns, the box.
import { useRef, useState } from 'preact/hooks';
import { ErrorLine } from '../errors';
import { Icon } from '../icons';
import { chatById } from '../state/chats';
import { chatId, loadError, missing, reloadChat, settings, shown } from '../state/chat';
import { models } from '../state/me';
import { modelOf } from '../state/settings';
import { changeSettings } from '../state/turns';
import { toggleSide } from '../side/drawer';
import { lazy } from '../lazy';
import { t } from '../texts';
import { attach } from './attach';
import { Composer } from './composer';
import { Log } from './log';
import { Welcome } from './welcome';

const ChatSettingsDialog = lazy(async () => (await import('./chat_settings')).ChatSettingsDialog);

export function ChatView() {
  const [dragging, setDragging] = useState(false);
  const depth = useRef(0);
  const onDrag = (event: DragEvent, change: number) => {
    if (!event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault();
    depth.current += change;
    setDragging(depth.current > 0);
  };
  const onDrop = (event: DragEvent) => {
    if (!event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault();
    depth.current = 0;
    setDragging(false);
    void attach(chatId.peek(), event.dataTransfer.files);
  };
  return (
    <div
      class={`chat ${chatId.value === null ? 'fresh' : ''}`}
      onDragEnter={(event) => onDrag(event, 1)} onDragOver={(event) => onDrag(event, 0)}
      onDragLeave={(event) => onDrag(event, -1)} onDrop={onDrop}
    >
      <Head />
      <Body />
      <Composer />
      {dragging && <div class="drop">{t.value.dropHere}</div>}
    </div>
  );
}

function Body() {
  if (chatId.value === null) return <Welcome />;
  if (shown.value) return <Log key={chatId.value} />;
  return (
    <div class="log-frame empty">
      {missing.value ? <p>{t.value.missingChat}</p>
        : loadError.value !== null
          ? <ErrorLine error={loadError.value}><button type="button" class="button" onClick={reloadChat}>{t.value.retry}</button></ErrorLine>
          : <p class="loading">{t.value.loading}</p>}
    </div>
  );
}

function Head() {
  const [open, setOpen] = useState(false);
  const title = chatId.value === null ? '' : chatById(chatId.value)?.title ?? '';
  return (
    <header class="head">
      <button type="button" class="icon-button menu-button" onClick={toggleSide} aria-label={t.value.unfoldSide} title={t.value.unfoldSide}>
        <Icon name="menu" />
      </button>
      <h1 title={title}>{title || <span class="visually-hidden">{t.value.newChat}</span>}</h1>
      <ModelPicker />
      <button type="button" class="icon-button" onClick={() => setOpen(true)} aria-label={t.value.chatSettings} title={t.value.chatSettings}>
        <Icon name="sliders" />
      </button>
      {open && <ChatSettingsDialog onClose={() => setOpen(false)} />}
    </header>
  );
}

// A chat stays with its model, whose tokens it is made of.
function ModelPicker() {
  const model = modelOf(settings.value);
  if (!model) return null;
  const begun = chatId.value !== null;
  if (models.value.length < 2 || begun) return <span class="model-name">{model.id}</span>;
  return (
    <select
      class="model-picker" aria-label={t.value.model} value={model.id}
      onChange={(event) => void changeSettings({ model: event.currentTarget.value })}
    >
      {models.value.map(({ id }) => <option value={id} key={id}>{id}</option>)}
    </select>
  );
}
