// A key that was just made: what clients show, which nobody sees again.
import { useState } from 'preact/hooks';
import { copyText } from '../copy';
import { sentenceOf } from '../errors';
import { go } from '../route';
import { login } from '../server';
import { loadMe } from '../state/me';
import type { Key } from './api';
import { Dialog } from './dialog';
import { t } from './texts';

export type Made = Key & { secret: string };

export function NewSecret({ made, onClose }: { made: Made; onClose: () => void }) {
  const texts = t.value.keys;
  const [status, setStatus] = useState('');
  const copy = async () => setStatus((await copyText(made.secret)) ? texts.copied : texts.copyFailed);
  const useHere = async () => {
    try {
      await login(made.secret);
      await loadMe();
      onClose();
      go({ view: 'chat', chat: null });
    } catch (error) {
      setStatus(sentenceOf(error));
    }
  };
  return (
    <Dialog title={texts.madeTitle(made.name)} onClose={onClose}>
      <p class="warning">{texts.madeWarning}</p>
      <p class="secret">
        <code tabIndex={0} data-secret>{made.secret}</code>
        <button type="button" class="button primary" autoFocus onClick={() => void copy()}>{texts.copy}</button>
      </p>
      <p role="status" class="secret-status">{status}</p>
      {made.scope === 'inference' && <p class="quiet">{texts.useHereHint}</p>}
      <p class="form-buttons">
        {made.scope === 'inference' && (
          <button type="button" class="button" onClick={() => void useHere()}>{texts.useHere}</button>
        )}
        <button type="button" class="button" onClick={onClose}>{texts.done}</button>
      </p>
    </Dialog>
  );
}
