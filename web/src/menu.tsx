// A button that opens a short list of things to do.
import { useEffect, useRef, useState } from 'preact/hooks';
import { Icon, type IconName } from './icons';

interface Item {
  icon: IconName;
  label: string;
  danger?: boolean;
  onPick: () => void;
}

export function Menu({ label, items }: { label: string; items: Item[] }) {
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const close = (focus: boolean) => {
    setOpen(false);
    if (focus) button.current?.focus();
  };
  return (
    <>
      <button
        type="button" class="icon-button menu-opener" ref={button} aria-label={label} title={label}
        aria-haspopup="menu" aria-expanded={open} onClick={() => setOpen(!open)}
      >
        <Icon name="more" />
      </button>
      {open && <List items={items} button={button.current!} close={close} />}
    </>
  );
}

interface ListProps {
  items: Item[];
  button: HTMLElement;
  close: (focus: boolean) => void;
}

function List({ items, button, close }: ListProps) {
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    place(list.current!, button);
    (list.current!.firstElementChild as HTMLElement).focus();
    const leave = (event: Event) => {
      const target = event.target as Node;
      if (!list.current?.contains(target) && !button.contains(target)) close(false);
    };
    // What scrolls away with the button; an answer that grows elsewhere is no reason to close.
    const moved = (event: Event) => { if ((event.target as Node).contains(button)) close(false); };
    addEventListener('pointerdown', leave, true);
    addEventListener('scroll', moved, true);
    return () => {
      removeEventListener('pointerdown', leave, true);
      removeEventListener('scroll', moved, true);
    };
  }, []);
  const onKeyDown = (event: KeyboardEvent) => {
    const all = [...list.current!.children] as HTMLElement[];
    const at = all.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to !== undefined) all[(to + all.length) % all.length]!.focus();
    else if (event.key === 'Escape') close(true);
    else if (event.key === 'Tab') close(false);
    else return;
    if (event.key !== 'Tab') event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div class="menu" role="menu" ref={list} onKeyDown={onKeyDown}>
      {items.map(({ icon, label, danger, onPick }) => (
        <button type="button" role="menuitem" class={danger ? 'danger' : ''} key={label} onClick={() => { close(true); onPick(); }}>
          <Icon name={icon} />{label}
        </button>
      ))}
    </div>
  );
}

// Below the button or, where there is no room, above it.
function place(list: HTMLElement, button: HTMLElement) {
  const { top, bottom, right } = button.getBoundingClientRect();
  const below = bottom + list.offsetHeight + 8 < innerHeight;
  list.style.top = `${below ? bottom + 4 : Math.max(4, top - list.offsetHeight - 4)}px`;
  list.style.left = `${Math.max(4, Math.min(right - list.offsetWidth, innerWidth - list.offsetWidth - 4))}px`;
}
