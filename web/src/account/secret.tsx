// A key that was just made: what clients show, which nobody sees again. It stays until it is put away,
// where a dialog could be left by a slip.
import { useEffect, useRef, useState } from 'preact/hooks';
import { copyText } from '../copy';
import { sentenceOf } from '../errors';
import { go } from '../route';
import { login } from '../server';
import { loadMe } from '../state/me';
import type { Key } from './api';
import { t } from './texts';

export type Made = Key & { secret: string };

export function NewSecret({ made, onDone }: { made: Made; onDone: () => void }) {
  const texts = t.value.keys;
  const [status, setStatus] = useState('');
  const copyButton = useRef<HTMLButtonElement>(null);
  useEffect(() => copyButton.current?.focus(), [made.id]);
  const copy = async () => setStatus((await copyText(made.secret)) ? texts.copied : texts.copyFailed);
  const useHere = async () => {
    try {
      await login(made.secret);
      await loadMe();
      onDone();
      go({ view: 'chat', chat: null });
    } catch (error) {
      setStatus(sentenceOf(error));
    }
  };
  return (
    <section class="card made" aria-labelledby="made-title" aria-describedby="made-warning">
      <h2 id="made-title">{texts.madeTitle(made.name)}</h2>
      <p id="made-warning" class="warning">{texts.madeWarning}</p>
      <p class="secret">
        <code data-secret>{made.secret}</code>
        <button type="button" class="button primary" ref={copyButton} onClick={() => void copy()}>{texts.copy}</button>
      </p>
      <p class="made-buttons">
        <button type="button" class="button" onClick={onDone}>{texts.done}</button>
        {made.scope === 'inference' && (
          <>
            <button type="button" class="button" onClick={() => void useHere()} aria-describedby="made-use">{texts.useHere}</button>
            <small id="made-use" class="quiet">{texts.useHereHint}</small>
          </>
        )}
      </p>
      <p role="status" class="quiet">{status}</p>
    </section>
  );
}
