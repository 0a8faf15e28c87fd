// Who asks, and what the server offers.
import { computed, signal } from '@preact/signals';
import * as server from '../server';
import type { Me, Props } from '../types';

export const me = signal<Me | null>(null);
export const props = signal<Props | null>(null);
export const mustLogIn = signal(false);

export const models = computed(() => props.value?.models ?? []);
export const seesImages = computed(() => props.value?.modalities.vision ?? false);

/** Asks the server who we are; where it wants a key first, `mustLogIn` says so. */
export async function loadMe() {
  server.whenLoggedOut(() => { mustLogIn.value = true; });
  const [who, offer] = await Promise.all([server.me(), server.props()]);
  me.value = who;
  props.value = offer;
  mustLogIn.value = false;
}

export async function logOut() {
  await server.logout();
  location.reload();
}
