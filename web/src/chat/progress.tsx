// What an answer under way is doing: reading the prompt, thinking, writing.
import { duration, rate, short } from '../format';
import type { Answering } from '../state/answering';
import { language, t } from '../texts';
import type { PromptProgress } from '../types';

export function Progress({ answering }: { answering: Answering }) {
  const phase = answering.phase.value;
  const progress = answering.progress.value;
  const texts = t.value;
  if (phase === 'writing') return <Written answering={answering} />;
  if (phase === 'waiting' && progress && progress.processed < progress.total) return <Reading progress={progress} />;
  const labels = {
    sending: texts.sending, waiting: progress ? texts.writing : texts.waiting, thinking: '', stopping: texts.stopping, lost: texts.lost,
  };
  return <p class="progress"><Dots />{labels[phase as keyof typeof labels]}</p>;
}

function Dots() {
  return <span class="dots" aria-hidden="true"><i /><i /><i /></span>;
}

function Written({ answering }: { answering: Answering }) {
  const count = answering.count.value;
  const seconds = (performance.now() - answering.started) / 1000;
  return (
    <p class="progress">
      <Dots />
      {seconds > 0.5 && <span>{t.value.tokensPerSecond(rate(count / seconds))}</span>}
    </p>
  );
}

function Reading({ progress: { total, cache, processed, time_ms: ms } }: { progress: PromptProgress }) {
  const read = processed - cache;
  const left = read > 0 && ms > 500 ? ms * (total - processed) / read : null;
  return (
    <div class="progress reading">
      <progress value={processed} max={total} aria-label={t.value.reading(short(processed), short(total))} />
      <span>
        {t.value.reading(short(processed), short(total))}
        {cache > 0 && ` · ${t.value.readCached(short(cache))}`}
        {left !== null && ` · ${t.value.left(duration(Math.max(1000, left), language.value))}`}
      </span>
    </div>
  );
}
