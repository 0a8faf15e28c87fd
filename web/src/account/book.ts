// What the views of an administrator show: organisations, and of the chosen one keys and what they
// spent today.
import { computed, signal } from '@preact/signals';
import { sentenceOf } from '../errors';
import { me } from '../state/me';
import * as api from './api';
import { dayIn } from './days';

const organisationsKnown = signal<api.Organisation[] | null>(null);
const chosenName = signal<string | null>(null);

export const organisations = computed(() => organisationsKnown.value ?? []);
export const organisation = computed(() => {
  const name = chosenName.value ?? me.value?.organisation?.name;
  return organisations.value.find((each) => each.name === name) ?? organisations.value[0] ?? null;
});
export const keys = signal<api.Key[] | null>(null);
/** By the ids of keys. */
export const spentToday = signal<Map<string, string>>(new Map());
export const failure = signal('');

/** Does it, and tells by `failure` why it could not. */
export async function attempt(work: () => Promise<void>): Promise<void> {
  try {
    await work();
    failure.value = '';
  } catch (error) {
    failure.value = sentenceOf(error);
  }
}

export async function loadOrganisations(): Promise<void> {
  organisationsKnown.value = await api.organisations();
}

export async function loadKeys(): Promise<void> {
  const of = organisation.peek();
  if (!of) return;
  const today = dayIn(of.time_zone);
  const [all, usage] = await Promise.all([
    api.keys(of.name),
    api.usage(of.name, 'key', { from: today, to: today }),
  ]);
  keys.value = all;
  spentToday.value = new Map(usage.data.map(({ key = '', charge }) => [key, charge]));
}

export function loadAll(): Promise<void> {
  return attempt(async () => {
    await loadOrganisations();
    await loadKeys();
  });
}

export function choose(name: string): void {
  chosenName.value = name;
  keys.value = null;
  void attempt(loadKeys);
}

export function keyName(id: string): string {
  return keys.value?.find((key) => key.id === id)?.name ?? id;
}
