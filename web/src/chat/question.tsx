// A user's message: shown as it was typed, edited in place into a branch of its own.
import { useState } from 'preact/hooks';
import { CopyButton } from '../copy';
import { ErrorLine } from '../errors';
import { number } from '../format';
import { Icon } from '../icons';
import { draftOf, textOf } from '../state/message';
import type { Step } from '../state/tree';
import { edit } from '../state/turns';
import { language, t } from '../texts';
import type { Message } from '../types';
import { EditBox } from './edit_box';
import { ToolText } from './tool_text';
import { Versions } from './versions';

interface Props {
  message: Message;
  step: Step;
  index: number;
}

export function Question({ message, step, index }: Props) {
  const [editing, setEditing] = useState(false);
  const [error, setError] = useState<unknown>(null);
  if (message.role !== 'user') return <ToolText name={message.name ?? ''} text={textOf(message)} />;
  const draft = draftOf(message);
  const send = async (text: string) => {
    setEditing(false);
    setError(null);
    await edit(index, { ...draft, text }).catch(setError);
  };
  return (
    <article class="question" id={`turn-${index}`} aria-label={t.value.you}>
      <h2 class="visually-hidden">{t.value.you}</h2>
      {editing ? <EditBox text={draft.text} onSend={(text) => void send(text)} onCancel={() => setEditing(false)} /> : (
        <div class="bubble">
          {draft.images.length > 0 && <p class="pictures">{draft.images.map((url, at) => <Picture url={url} key={at} />)}</p>}
          {draft.text && <p class="said">{draft.text}</p>}
          {draft.files.map((file, at) => (
            <details class="sent-file" key={at}>
              <summary><Icon name="file" /> {file.name} <small>{t.value.characters(number(file.text.length, language.value))}</small></summary>
              <pre tabIndex={0}>{file.text}</pre>
            </details>
          ))}
        </div>
      )}
      {error !== null && <ErrorLine error={error} />}
      {!editing && (
        <div class="actions">
          <Versions step={step} of="question" />
          <CopyButton text={() => textOf(message)} label={t.value.copy} />
          <button type="button" class="icon-button" onClick={() => setEditing(true)} aria-label={t.value.edit} title={t.value.edit}>
            <Icon name="edit" />
          </button>
        </div>
      )}
    </article>
  );
}

// Only pictures that are within the message are shown; an address elsewhere is not asked for.
function Picture({ url }: { url: string }) {
  return /^data:image\//.test(url) ? <img src={url} alt={t.value.image} /> : <span class="quiet">{t.value.image}: {url}</span>;
}
