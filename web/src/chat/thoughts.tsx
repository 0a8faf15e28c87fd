// The model's reasoning, folded away.
import { useState } from 'preact/hooks';
import { duration } from '../format';
import { drawnAs, type Turn } from '../state/tree';
import type { Answering } from '../state/answering';
import { language, t } from '../texts';
import type { Answer } from '../types';
import { Markdown } from './answer';

// How long was thought, as seen on this page, by the key of the turn.
const seen = new Map<string, number>();

// The server tells tokens and the time for all of them.
function estimate(answer: Answer | null): number | null {
  const thought = answer?.usage.completion_tokens_details?.reasoning_tokens;
  const { predicted_ms: ms, predicted_n: count } = answer?.timings ?? {};
  return thought && ms && count ? ms * thought / count : null;
}

interface Props {
  text: string;
  /** Whether it is thinking now. */
  open: boolean;
  turn: Turn;
  answering: Answering | null;
}

export function Thoughts({ text, open, turn, answering }: Props) {
  const [unfolded, setUnfolded] = useState(false);
  const now = answering?.thoughtMs.value;
  if (now) seen.set(turn.key, now);
  const id = turn.answer?.id ?? '';
  const ms = seen.get(turn.key) ?? seen.get(drawnAs.get(id) ?? id) ?? estimate(turn.answer);
  const summary = open ? t.value.thinking : ms ? t.value.thoughtFor(duration(ms, language.value)) : t.value.thought;
  return (
    <details class="thoughts" onToggle={(event) => setUnfolded(event.currentTarget.open)}>
      <summary class={open ? 'busy' : ''} onClick={() => setUnfolded(true)}>{summary}</summary>
      {unfolded && <Markdown text={text} open={open} />}
    </details>
  );
}
