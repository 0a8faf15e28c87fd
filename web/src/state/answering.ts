// Answers under way: each is read into signals, one change a frame. They go on when their chat is left, and when the page is.
import { signal, type Signal } from '@preact/signals';
import * as server from '../server';
import type { Answer, Chunk, Message, PromptProgress } from '../types';

export type Phase = 'sending' | 'waiting' | 'thinking' | 'writing' | 'stopping' | 'lost' | 'failed' | 'done';

export interface Answering {
  session: string;
  /** The request's idempotency key, by which its answer is found again. */
  key: string;
  messages: Message[];
  phase: Signal<Phase>;
  text: Signal<string>;
  thoughts: Signal<string>;
  thoughtMs: Signal<number | null>;
  progress: Signal<PromptProgress | null>;
  /** Tokens that came so far, about: one a chunk. */
  count: Signal<number>;
  error: Signal<unknown>;
  /** When its first token came. */
  started: number;
  control: AbortController;
}

export const answerings = signal<ReadonlyMap<string, Answering>>(new Map());

export function answeringOf(session: string, key: string, messages: Message[]): Answering {
  return {
    session, key, messages, phase: signal<Phase>('sending'), text: signal(''), thoughts: signal(''), thoughtMs: signal<number | null>(null),
    progress: signal<PromptProgress | null>(null), count: signal(0), error: signal<unknown>(null), started: 0, control: new AbortController(),
  };
}

export function addAnswering(answering: Answering) {
  answerings.value = new Map(answerings.value).set(answering.session, answering);
}

export function dropAnswering(answering: Answering) {
  if (answerings.value.get(answering.session) !== answering) return;
  const rest = new Map(answerings.value);
  rest.delete(answering.session);
  answerings.value = rest;
}

export const isRunning = (phase: Phase) => phase !== 'failed' && phase !== 'done';

/** What an answer came to. */
export interface Outcome {
  text: string;
  thoughts: string;
  answer: Answer | null;
}

const waitsMs = [300, 1000, 2000, 4000, 8000];

/**
 * Reads an answer to its end. `first` asks for it; when the connection is lost after that, the answer is read again from its beginning.
 * `accepted` is called once the server has taken the request.
 */
export async function readAnswer(answering: Answering, first: () => Promise<server.Answering>, accepted: () => void): Promise<Outcome> {
  let asked = false;
  for (let attempt = 0; ; attempt++) {
    try {
      const stream = await (attempt === 0 ? first() : server.readAlong(answering.key, answering.control.signal));
      if (!asked) accepted();
      asked = true;
      return await new Reader(answering).read(stream);
    } catch (error) {
      const lost = error instanceof server.ServerError && error.status === 0;
      if (!lost || attempt >= (asked ? waitsMs.length : 1)) throw error;
      if (asked) answering.phase.value = 'lost';
      await new Promise((go) => { setTimeout(go, waitsMs[attempt]); });
    }
  }
}

class Reader {
  private text = '';
  private thoughts = '';
  private count = 0;
  private thinkingSince = 0;
  private thoughtMs: number | null = null;
  private last: Chunk = {};
  private finish = '';
  private scheduled = false;
  private slice = performance.now();

  constructor(private readonly answering: Answering) {}

  async read(stream: server.Answering): Promise<Outcome> {
    if (this.answering.phase.value !== 'stopping') this.answering.phase.value = 'waiting';
    for await (const chunks of stream) {
      for (const chunk of chunks) this.take(chunk);
      this.schedule();
      // What came at once, as an old answer does, is read in short tasks.
      if (performance.now() - this.slice > 8) await this.rest();
    }
    this.show(true);
    return { text: this.text, thoughts: this.thoughts, answer: this.answer() };
  }

  private async rest() {
    await new Promise((go) => { setTimeout(go); });
    this.slice = performance.now();
  }

  private take(chunk: Chunk) {
    if (chunk.prompt_progress) this.answering.progress.value = chunk.prompt_progress;
    if (chunk.usage) this.last = chunk;
    const choice = chunk.choices?.[0];
    if (!choice) return;
    this.last = { ...this.last, id: chunk.id ?? '', created: chunk.created ?? 0, model: chunk.model ?? '' };
    if (choice.finish_reason) this.finish = choice.finish_reason;
    const { content, reasoning_content: thought } = choice.delta ?? {};
    if (thought) {
      this.thinkingSince ||= performance.now();
      this.thoughts += thought;
    }
    if (content) {
      if (this.thinkingSince && this.thoughtMs === null) this.thoughtMs = performance.now() - this.thinkingSince;
      this.text += content;
    }
    if (thought || content) {
      this.answering.started ||= performance.now();
      this.count++;
    }
  }

  private schedule() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.show(false);
    });
  }

  private show(done: boolean) {
    const { answering } = this;
    // After a lost connection the answer comes again: what is on the page stays until it was caught up with.
    if (!done && this.text.length < answering.text.value.length) return;
    answering.thoughts.value = this.thoughts;
    answering.text.value = this.text;
    answering.thoughtMs.value = this.thoughtMs;
    answering.count.value = this.count;
    // A frame that was due when the connection was lost comes after that.
    if (['stopping', 'lost'].includes(answering.phase.value) || !isRunning(answering.phase.value)) return;
    if (this.text) answering.phase.value = 'writing';
    else if (this.thoughts) answering.phase.value = 'thinking';
  }

  private answer(): Answer | null {
    const { id, created, model, usage, timings } = this.last;
    if (!id || !usage) return null;
    return { id, created: created ?? 0, model: model ?? '', finish_reason: this.finish, usage, ...(timings ? { timings } : {}) };
  }
}
