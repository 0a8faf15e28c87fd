// What is attached to the message in the box.
import { number } from '../format';
import { Icon } from '../icons';
import type { Draft } from '../state/message';
import { language, t } from '../texts';
import { removeFile, removeImage } from './attach';

interface Props {
  chat: string | null;
  draft: Draft;
}

export function Chips({ chat, draft: { files, images } }: Props) {
  if (files.length + images.length === 0) return null;
  return (
    <ul class="chips">
      {images.map((url, at) => (
        <li class="chip picture" key={url}>
          <img src={url} alt={`${t.value.image} ${at + 1}`} />
          <RemoveButton name={`${t.value.image} ${at + 1}`} onClick={() => removeImage(chat, at)} />
        </li>
      ))}
      {files.map((file, at) => (
        <li class="chip" key={file.name}>
          <Icon name="file" />
          <span>{file.name} <small>{t.value.characters(number(file.text.length, language.value))}</small></span>
          <RemoveButton name={file.name} onClick={() => removeFile(chat, at)} />
        </li>
      ))}
    </ul>
  );
}

function RemoveButton({ name, onClick }: { name: string; onClick: () => void }) {
  return (
    <button type="button" class="icon-button" onClick={onClick} aria-label={t.value.remove(name)} title={t.value.remove(name)}>
      <Icon name="close" />
    </button>
  );
}
