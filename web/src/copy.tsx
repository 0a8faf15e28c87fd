// Copying, also on pages over plain http, where browsers offer no clipboard.
import { useState } from 'preact/hooks';
import { Icon } from './icons';
import { t } from './texts';

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

function copyBySelection(text: string): boolean {
  const before = document.activeElement as HTMLElement | null;
  const box = document.createElement('textarea');
  box.value = text;
  box.className = 'copy-box';
  (before?.closest('dialog') ?? document.body).append(box);
  box.select();
  const done = document.execCommand('copy');
  box.remove();
  before?.focus({ preventScroll: true });
  return done;
}

interface Props {
  text: () => string;
  label: string;
}

export function CopyButton({ text, label }: Props) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    if (!(await copyText(text()))) return;
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  const shown = copied ? t.value.copied : label;
  return (
    <button type="button" class="icon-button" onClick={() => void copy()} aria-label={shown} title={shown}>
      <Icon name={copied ? 'check' : 'copy'} />
    </button>
  );
}
