// The settings of a chat: its system text and how tokens are chosen.
import { useState } from 'preact/hooks';
import { Dialog } from '../dialog';
import { ErrorLine } from '../errors';
import { chatId, settings, shown } from '../state/chat';
import { modelOf, newChatSystem, samplingNames, type SamplingName } from '../state/settings';
import { changeSettings } from '../state/turns';
import { t } from '../texts';

// What is undefined goes back to the model's default.
type Change = Partial<Record<SamplingName, number | undefined>>;

const limits: Record<SamplingName, { min: number; max?: number; step: number | 'any' }> = {
  temperature: { min: 0, max: 2, step: 'any' },
  top_p: { min: 0, max: 1, step: 'any' },
  top_k: { min: 0, step: 1 },
  min_p: { min: 0, max: 1, step: 'any' },
  repetition_penalty: { min: 0.01, step: 'any' },
  max_tokens: { min: 1, step: 1 },
};

export function ChatSettingsDialog({ onClose }: { onClose: () => void }) {
  const begun = chatId.value !== null;
  const changed = samplingNames.some((name) => settings.value[name] !== undefined);
  const [error, setError] = useState<unknown>(null);
  const change = (by: Change) => {
    setError(null);
    void changeSettings(by).catch(setError);
  };
  const reset = () => change(Object.fromEntries(samplingNames.map((name) => [name, undefined])));
  return (
    <Dialog title={t.value.chatSettings} onClose={onClose}>
      <label class="field">
        <span>{t.value.system}</span>
        <textarea
          rows={4} readOnly={begun} value={begun ? shown.value?.system ?? '' : newChatSystem.value}
          onInput={(event) => { newChatSystem.value = event.currentTarget.value; }}
        />
        <small>{begun ? t.value.systemFixed : t.value.systemHint}</small>
      </label>
      <fieldset class="sampling">
        <legend>{t.value.sampling}</legend>
        {samplingNames.map((name) => <Sampler name={name} change={change} key={name} />)}
      </fieldset>
      {error !== null && <ErrorLine error={error} />}
      <p class="dialog-buttons">
        <button type="button" class="button quiet" onClick={reset} disabled={!changed}>{t.value.reset}</button>
        <button type="button" class="button primary" onClick={onClose}>{t.value.close}</button>
      </p>
    </Dialog>
  );
}

function Sampler({ name, change }: { name: SamplingName; change: (by: Change) => void }) {
  const [label, hint] = t.value.samplingNames[name] as [string, string];
  const usual = modelOf(settings.value)?.default_generation_settings?.[name];
  const take = (input: HTMLInputElement) => {
    if (input.validity.valid) change({ [name]: input.value === '' ? undefined : input.valueAsNumber });
  };
  return (
    <label class="field row">
      <span>{label}<small>{hint}</small></span>
      <input
        type="number" inputMode="decimal" {...limits[name]} value={settings.value[name] ?? ''}
        placeholder={usual === null || usual === undefined ? t.value.unlimited : t.value.byDefault(String(usual))}
        onChange={(event) => take(event.currentTarget)}
      />
    </label>
  );
}
