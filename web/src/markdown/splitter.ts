// Cuts an answer into top-level blocks as it grows. Only the last block can still change, so that only it is looked at again.
import { blockTokens, type References, type Token } from './parser';

// A text longer than this is cut in steps, each of which is short.
const stepLength = 50_000;

// A list is cut after so many items, so that one that grows for long is not drawn as a whole each time.
const itemsAtOnce = 20;

export class Splitter {
  /** The texts of the blocks that will not change any more. */
  readonly closed: string[] = [];
  readonly references: References = {};
  /** Counts how often all was cut anew. */
  version = 0;
  private text = '';
  private end = 0;
  private reach = stepLength;

  /** The text of the last block, which more text may change. */
  get tail(): string {
    return this.text.slice(this.end);
  }

  /**
   * Takes the whole text as it is now; where it does not continue the one before, all is cut anew.
   * A text that is not `open` any more has no tail. Returns whether all of it was looked at: else call again.
   */
  update(text: string, open: boolean): boolean {
    if (!text.startsWith(this.text)) this.reset();
    this.text = text.slice(0, this.end + this.reach);
    const all = this.text.length === text.length;
    const before = this.end;
    this.cut(open || !all);
    // A block that is longer than a step needs a longer one.
    this.reach = this.end > before || all ? Math.max(stepLength, this.tail.length + 1000) : this.reach + stepLength;
    return all;
  }

  private reset() {
    this.version++;
    this.reach = stepLength;
    this.closed.length = 0;
    this.end = 0;
    for (const name of Object.keys(this.references)) delete this.references[name];
  }

  private cut(open: boolean) {
    const tail = this.tail;
    const starts = startsOf(blockTokens(tail, this.references, open));
    if (starts.length === 0) return;
    const offsets = lineOffsets(tail, starts);
    const ends = open ? offsets.slice(1) : [...offsets.slice(1), tail.length];
    for (const [index, end] of ends.entries()) this.closed.push(tail.slice(offsets[index], end));
    this.end += open ? offsets.at(-1)! : tail.length;
  }
}

// The lines with which the blocks begin.
function startsOf(tokens: Token[]): number[] {
  const starts: number[] = [];
  let items = 0;
  for (const { level, nesting, map, type } of tokens) {
    if (nesting < 0 || !map) continue;
    if (level === 0) {
      starts.push(map[0]);
      items = 0;
    } else if (level === 1 && type === 'list_item_open' && items++ > 0 && (items - 1) % itemsAtOnce === 0) {
      starts.push(map[0]);
    }
  }
  return starts;
}

// Offsets of the given lines, which ascend.
function lineOffsets(text: string, lines: number[]): number[] {
  const offsets: number[] = [];
  let offset = 0;
  let line = 0;
  for (const wanted of lines) {
    for (; line < wanted; line++) offset = text.indexOf('\n', offset) + 1;
    offsets.push(offset);
  }
  return offsets;
}
