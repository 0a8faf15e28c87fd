// Other windows of this browser at the same server: each tells the others when it has changed a chat.

let channel: BroadcastChannel | null = null;

function open(): BroadcastChannel | null {
  if (typeof BroadcastChannel !== 'undefined') channel ??= new BroadcastChannel('fulmen');
  return channel;
}

/** Tells the other windows that chats have changed: what it is they ask the server. */
export function tellOthers() {
  open()?.postMessage('changed');
}

export function whenTold(then: () => void) {
  open()?.addEventListener('message', then);
}
