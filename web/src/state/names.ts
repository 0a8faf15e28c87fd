// Names for sessions, chats and requests. Only crypto.getRandomValues is there on pages over plain http, too.

const letters = 'abcdefghijklmnopqrstuvwxyz';

export function randomLetters(count: number): string {
  let text = '';
  while (text.length < count) {
    for (const byte of crypto.getRandomValues(new Uint8Array(count))) {
      // 234 is the largest multiple of 26 in a byte: above it some letters would be likelier than others.
      if (byte < 234 && text.length < count) text += letters[byte % 26];
    }
  }
  return text;
}

export const newSessionName = () => `chat-${randomLetters(16)}`;

/** A chat's title: the first line of its first message. */
export function titleOf(text: string): string {
  const line = text.trim().split('\n', 1)[0]!.trim();
  const characters = [...line];
  return characters.length > 60 ? `${characters.slice(0, 59).join('').trimEnd()}…` : line;
}
