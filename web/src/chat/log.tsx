// The turns of the chat. Of a long one the newest are drawn first and the others soon, a few at a time.
import { useEffect, useLayoutEffect, useReducer, useRef } from 'preact/hooks';
import { whenIdle } from '../frames';
import { Icon } from '../icons';
import { shownAnswering, wantedTurn, way } from '../state/chat';
import type { Step } from '../state/tree';
import { t } from '../texts';
import { atEnd, followEnd, type Follower } from './follow';
import { TurnView } from './turn';

// Turns of a slice are out of sight together: a browser that watches each of a thousand is slow.
const sliceSize = 16;
const firstTurns = 3;
const goodMs = 8;

export function Log() {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const follower = useRef<Follower | null>(null);
  const steps = way.value;
  const from = useOlderTurns(steps.length, scroller);

  useLayoutEffect(() => {
    follower.current = followEnd(scroller.current!, content.current!);
    follower.current.toEnd();
    return follower.current.undo;
  }, []);

  // Who sends wants to see the answer.
  const answering = shownAnswering.value;
  useLayoutEffect(() => { if (answering) follower.current!.toEnd(); }, [answering]);

  const wanted = wantedTurn.value;
  useEffect(() => {
    const part = wanted !== null && wanted >= from && content.current!.querySelector(`#turn-${wanted}`);
    if (!part) return;
    follower.current!.goTo(part);
    wantedTurn.value = null;
  }, [wanted, from, steps.length]);

  return (
    <div class="log-frame">
      <div class="log" ref={scroller} role="region" aria-label={t.value.conversation} tabIndex={0}>
        <div class="column" ref={content}>
          {slicesOf(steps, from)}
        </div>
      </div>
      {!atEnd.value && (
        <button type="button" class="to-end" onClick={() => follower.current!.toEnd()} aria-label={t.value.toEnd} title={t.value.toEnd}>
          <Icon name="down" />
        </button>
      )}
    </div>
  );
}

function slicesOf(steps: Step[], from: number) {
  const slices = [];
  for (let at = from; at < steps.length;) {
    const slice = Math.floor(at / sliceSize);
    const end = (slice + 1) * sliceSize;
    const first = at;
    slices.push(
      <div class="slice" key={slice}>
        {steps.slice(at, end).map((step, index) => <TurnView key={step.turn.key} step={step} index={first + index} />)}
      </div>,
    );
    at = end;
  }
  return slices;
}

// The first turn that is drawn; it goes down to 0 in steps that are as large as they can be without being felt.
function useOlderTurns(count: number, scroller: { current: HTMLElement | null }): number {
  const from = useRef<number | null>(null);
  const step = useRef(1);
  const began = useRef(0);
  const [, again] = useReducer((times: number) => times + 1, 0);
  if (from.current === null && count > 0) from.current = Math.max(0, count - firstTurns);
  const shown = Math.min(from.current ?? 0, Math.max(0, count - 1));

  useLayoutEffect(() => {
    if (!began.current) return;
    const ms = performance.now() - began.current;
    began.current = 0;
    step.current = ms < goodMs ? Math.min(16, step.current * 2) : Math.max(1, step.current >> 1);
  });
  useEffect(() => {
    if (shown === 0) return undefined;
    let current = true;
    whenIdle(() => {
      if (!current) return;
      // At the very top browsers do not hold the view when something is put above it.
      if (scroller.current?.scrollTop === 0) scroller.current.scrollTop = 1;
      began.current = performance.now();
      from.current = Math.max(0, shown - step.current);
      again(null);
    });
    return () => { current = false; };
  }, [shown]);
  return shown;
}
