// How much of the model's context the chat fills.
import { number, short } from '../format';
import { contextUsed, settings, shownAnswering } from '../state/chat';
import { modelOf } from '../state/settings';
import { language, t } from '../texts';

export function Gauge() {
  const model = modelOf(settings.value);
  const answering = shownAnswering.value;
  const read = answering?.progress.value?.total ?? 0;
  const used = Math.max(contextUsed.value, read) + (answering?.count.value ?? 0);
  if (!model || used === 0) return <span class="gauge" />;
  const share = Math.min(1, used / model.context);
  const text = t.value.contextUsed(number(used, language.value), number(model.context, language.value));
  return (
    <span
      class={`gauge ${share > 0.9 ? 'full' : share > 0.7 ? 'high' : ''}`} title={`${t.value.context}: ${text}`}
      role="meter" aria-label={t.value.context} aria-valuemin={0} aria-valuemax={model.context} aria-valuenow={Math.min(used, model.context)} aria-valuetext={text}
    >
      <svg viewBox="0 0 20 20" aria-hidden="true" focusable="false">
        <circle cx="10" cy="10" r="8" pathLength="100" />
        <circle class="part" cx="10" cy="10" r="8" pathLength="100" stroke-dasharray={`${Math.max(1, share * 100)} 100`} />
      </svg>
      <span>{short(used)} / {short(model.context)}</span>
    </span>
  );
}
