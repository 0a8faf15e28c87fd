// An answer, under way or done. Both are drawn by the same component, so that nothing is drawn anew when it ends.
import { useState } from 'preact/hooks';
import { CopyButton } from '../copy';
import { ErrorLine, isFinal } from '../errors';
import { Icon } from '../icons';
import { lazy } from '../lazy';
import { isRunning, type Answering } from '../state/answering';
import { settings } from '../state/chat';
import { modelOf } from '../state/settings';
import type { Step, Turn } from '../state/tree';
import { answerText, askAgain, giveUp, retry } from '../state/turns';
import { t } from '../texts';
import { Progress } from './progress';
import { Stats } from './stats';
import { Thoughts } from './thoughts';
import { ToolText } from './tool_text';
import { Versions } from './versions';

export const Markdown = lazy(async () => (await import('../markdown/markdown')).Markdown);

interface Props {
  step: Step;
  answering: Answering | null;
  index: number;
}

export function AnswerView({ step, answering, index }: Props) {
  const { turn } = step;
  const phase = answering?.phase.value ?? 'done';
  const running = isRunning(phase);
  const replies = turn.messages.filter(({ role }) => role === 'assistant');
  const thoughts = answering ? answering.thoughts.value : replies.map((reply) => reply.reasoning_content ?? '').join('');
  const text = answering ? answering.text.value : answerText(turn);
  return (
    <article class="answer" aria-label={t.value.answer} aria-busy={running}>
      {thoughts !== '' && <Thoughts text={thoughts} open={running && text === ''} turn={turn} answering={answering} />}
      <Markdown text={text} open={running} />
      {replies.flatMap((reply) => reply.tool_calls ?? []).map((call) => (
        <ToolText name={call.function.name} text={call.function.arguments} key={call.id} />
      ))}
      {answering ? <UnderWay answering={answering} step={step} /> : <Footer step={step} index={index} text={text} />}
    </article>
  );
}

function UnderWay({ answering, step }: { answering: Answering; step: Step }) {
  if (answering.phase.value !== 'failed') {
    return <div class="answer-foot"><div class="actions"><Versions step={step} of="answer" /></div><Progress answering={answering} /></div>;
  }
  return (
    <ErrorLine error={answering.error.value}>
      {!isFinal(answering.error.value) && <button type="button" class="button" onClick={() => askAgain(answering)}>{t.value.retry}</button>}
      <button type="button" class="button quiet" onClick={() => void giveUp(answering)}>{t.value.giveUp}</button>
    </ErrorLine>
  );
}

// The last token of a full context is not read any more.
const isFull = ({ tokens }: Turn) => tokens + 1 >= (modelOf(settings.value)?.context ?? Infinity);

function Footer({ step, index, text }: { step: Step; index: number; text: string }) {
  const { turn } = step;
  const [error, setError] = useState<unknown>(null);
  const again = () => {
    setError(null);
    void retry(index, turn).catch(setError);
  };
  return (
    <>
      {turn.answer?.finish_reason === 'length' && <p class="note">{isFull(turn) ? t.value.cutOffFull : t.value.cutOff}</p>}
      <div class="answer-foot">
        <div class="actions">
          <Versions step={step} of="answer" />
          <CopyButton text={() => text} label={t.value.copy} />
          <button type="button" class="icon-button" onClick={again} aria-label={t.value.retry} title={t.value.retry}>
            <Icon name="retry" />
          </button>
        </div>
        {turn.answer && <Stats answer={turn.answer} />}
      </div>
      {error !== null && <ErrorLine error={error} />}
    </>
  );
}
