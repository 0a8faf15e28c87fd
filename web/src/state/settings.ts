// How a chat is answered: the model, its system text and how tokens are chosen. They travel with the session, in its metadata.
import { signal } from '@preact/signals';
import type { ModelProps, Sampling, Session } from '../types';
import { models } from './me';

export interface ChatSettings extends Sampling {
  /** The served name. */
  model?: string;
}

/** Those of the chat that is begun next. */
export const newChatSettings = signal<ChatSettings>({});
export const newChatSystem = signal('');

const names = ['temperature', 'top_p', 'top_k', 'min_p', 'repetition_penalty', 'max_tokens'] as const;
export type SamplingName = (typeof names)[number];
export const samplingNames: readonly SamplingName[] = names;

export function settingsOf(session: Session | null): ChatSettings {
  if (!session) return newChatSettings.value;
  let read: Record<string, unknown> = {};
  try {
    read = JSON.parse(session.metadata.settings ?? '{}');
  } catch {
    // Another program's: the defaults hold.
  }
  const settings: ChatSettings = {};
  for (const name of names) if (typeof read[name] === 'number') settings[name] = read[name];
  const model = typeof read.model === 'string' ? read.model : session.turns.findLast((turn) => turn.answer)?.answer?.model;
  if (model) settings.model = model;
  return settings;
}

/** The model that answers: the one chosen where the server still has it, else its first. */
export function modelOf(settings: ChatSettings): ModelProps | null {
  return models.value.find(({ id }) => id === settings.model) ?? models.value[0] ?? null;
}

export function samplingOf(settings: ChatSettings): Sampling {
  const { model: _, ...sampling } = settings;
  return sampling;
}
