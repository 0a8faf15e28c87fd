// A message while it is edited.
import { useLayoutEffect, useRef } from 'preact/hooks';
import { t } from '../texts';
import { CompositionGuard } from './ime';
import { enterSends, fit } from './typing';

interface Props {
  text: string;
  onSend: (text: string) => void;
  onCancel: () => void;
}

export function EditBox({ text, onSend, onCancel }: Props) {
  const box = useRef<HTMLTextAreaElement>(null);
  const guard = useRef(new CompositionGuard());
  useLayoutEffect(() => {
    fit(box.current!);
    box.current!.focus();
    box.current!.setSelectionRange(text.length, text.length);
  }, []);
  const send = () => {
    if (box.current!.value.trim() !== '') onSend(box.current!.value);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (guard.current.owns(event)) return;
    if (event.key === 'Escape') {
      event.stopPropagation();
      onCancel();
    } else if (enterSends(event)) {
      event.preventDefault();
      send();
    }
  };
  return (
    <div class="edit-box">
      <textarea
        ref={box} defaultValue={text} aria-label={t.value.editing} onKeyDown={onKeyDown} onInput={() => fit(box.current!)}
        onCompositionStart={() => guard.current.start()} onCompositionEnd={(event) => guard.current.end(event.timeStamp)}
      />
      <p class="edit-buttons">
        <button type="button" class="button quiet" onClick={onCancel}>{t.value.cancel}</button>
        <button type="button" class="button primary" onClick={send}>{t.value.sendEdit}</button>
      </p>
    </div>
  );
}
