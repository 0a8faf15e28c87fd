// A window over the page: the browser keeps the focus in it, and Escape or a press beside it leaves it.
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { Icon } from './icons';
import { t } from './texts';

interface Props {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
}

export function Dialog({ title, onClose, children }: Props) {
  const id = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const opener = document.activeElement as HTMLElement | null;
    dialog.current!.showModal();
    return () => opener?.focus();
  }, []);
  const onPointerDown = (event: PointerEvent) => {
    if (event.target === dialog.current) dialog.current!.close();
  };
  return (
    <dialog ref={dialog} class="modal" aria-labelledby={id} onClose={onClose} onPointerDown={onPointerDown}>
      <div class="modal-body">
        <header>
          <h2 id={id}>{title}</h2>
          <button type="button" class="icon-button" onClick={() => dialog.current!.close()} aria-label={t.value.close} title={t.value.close}>
            <Icon name="close" />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}
