// What an unfinished text ends with is often half of something; these hold it back or finish it for now.

/** The last block without a last line that may become a fence, a list or an underlined heading. */
export function holdBack(block: string): string {
  const lastLine = block.lastIndexOf('\n') + 1;
  return /^[ \t>]*(`{1,2}|~{1,2}|[-=*+_]{1,3}|\d{1,9}[.)]?)[ \t]*$/.test(block.slice(lastLine)) ? block.slice(0, lastLine) : block;
}

/** A line's text with its open emphasis, code and link ended. */
export function finishInline(text: string): string {
  let rest = text.replace(/!?\[([^[\]\n]*)(\](\([^()\s]*)?)?$/, (all, label: string, _end, _url, at: number) => (text[at - 1] === '\\' ? all : label));
  const ticks = rest.match(/`+/g) ?? [];
  if (ticks.length % 2 === 1) {
    const last = ticks.at(-1)!;
    return rest.endsWith(last) ? rest.slice(0, -last.length) : rest + last;
  }
  rest = rest.replace(/[*_~]+$/, (end, at: number) => (/\S/.test(rest[at - 1] ?? ' ') && opened(rest.slice(0, at), end) ? end : ''));
  if (opened(rest, '**')) return rest.replace(/\s*$/, (space) => `**${space}`);
  return rest;
}

// Whether `mark` stands an odd number of times outside code.
function opened(text: string, mark: string): boolean {
  return text.replace(/(`+)[^`]*\1/g, '').split(mark).length % 2 === 0;
}
