// The settings of a chat: its system text and how tokens are chosen.
import { Dialog } from '../dialog';
import { chatId, settings, shown } from '../state/chat';
import { modelOf, newChatSystem, samplingNames, type SamplingName } from '../state/settings';
import { changeSettings } from '../state/turns';
import { t } from '../texts';

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
  const reset = () => void changeSettings(Object.fromEntries(samplingNames.map((name) => [name, undefined])));
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
        {samplingNames.map((name) => <Sampler name={name} key={name} />)}
      </fieldset>
      <p class="dialog-buttons">
        <button type="button" class="button quiet" onClick={reset} disabled={!changed}>{t.value.reset}</button>
        <button type="button" class="button primary" onClick={onClose}>{t.value.close}</button>
      </p>
    </Dialog>
  );
}

function Sampler({ name }: { name: SamplingName }) {
  const [label, hint] = t.value.samplingNames[name] as [string, string];
  const usual = modelOf(settings.value)?.default_generation_settings?.[name];
  const change = (input: HTMLInputElement) => {
    if (input.value === '') void changeSettings({ [name]: undefined });
    else if (input.validity.valid) void changeSettings({ [name]: input.valueAsNumber });
  };
  return (
    <label class="field row">
      <span>{label}<small>{hint}</small></span>
      <input
        type="number" inputMode="decimal" {...limits[name]} value={settings.value[name] ?? ''}
        placeholder={usual === null || usual === undefined ? t.value.unlimited : t.value.byDefault(String(usual))}
        onChange={(event) => change(event.currentTarget)}
      />
    </label>
  );
}
