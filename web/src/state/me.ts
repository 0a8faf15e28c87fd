// Who asks, and what the server offers.
import { batch, computed, signal } from '@preact/signals';
import * as server from '../server';
import type { Me, Props } from '../types';

export const me = signal<Me | null>(null);
export const props = signal<Props | null>(null);
export const mustLogIn = signal(false);
export const loadError = signal<unknown>(null);

export const models = computed(() => props.value?.models ?? []);
/** An administrator's key asks for no answers. */
export const asksNothing = computed(() => me.value?.key?.scope === 'admin');
export const seesImages = computed(() => props.value?.modalities.vision ?? false);

server.whenLoggedOut(() => { mustLogIn.value = true; });

/** Asks the server who we are, calls `known`, and asks what it offers; where it wants a key first, `mustLogIn` says so. */
export async function loadMe(known = () => {}) {
  try {
    const { me: who } = await server.signedIn();
    if (!who) {
      mustLogIn.value = true;
      return;
    }
    me.value = who;
    known();
    const offer = await server.props();
    batch(() => {
      props.value = offer;
      mustLogIn.value = false;
      loadError.value = null;
    });
  } catch (error) {
    if (!mustLogIn.peek()) loadError.value = error;
  }
}

export async function logOut() {
  await server.logout();
  location.reload();
}
