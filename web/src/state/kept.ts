// What the browser keeps: choices and drafts, never a key. Private windows may refuse to keep anything.

const prefix = 'fulmen.';

function read(name: string): string | null {
  try {
    return localStorage.getItem(prefix + name);
  } catch {
    return null;
  }
}

function write(name: string, value: string | null) {
  try {
    if (value === null) localStorage.removeItem(prefix + name);
    else localStorage.setItem(prefix + name, value);
  } catch {
    // Full or forbidden: the value lives as long as the page.
  }
}

export const kept = {
  read,
  write,
  /** One of `choices`, else `fallback`. */
  get<T extends string>(name: string, choices: readonly T[], fallback: T): T {
    const value = read(name);
    return choices.find((choice) => choice === value) ?? fallback;
  },
  set: (name: string, value: string) => write(name, value),
};
