// Where maths is in Markdown: \(…\), \[…\], $$…$$, $…$ and \begin{…}…\end{…} on lines of their own.
import type { Env, MarkdownIt, StateBlock, StateInline } from 'markdown-it';

// Longer ones are shown as they are: a formula is drawn in one go.
const longest = 5000;

/** What a text is parsed with. While an answer is `open`, more text may follow. */
export interface Environment extends Env {
  open: boolean;
  /** Ends of maths that do not come any more in the line: each is looked for in vain once. */
  absent?: Set<string>;
}

/** The maths that begins at `at`: its source and where the text goes on; null for none, 'unclosed' where the end may come yet. */
function mathsAt(text: string, at: number, absent: Set<string>): { tex: string; display: boolean; end: number } | 'unclosed' | null {
  const pair = text.slice(at, at + 2);
  if (pair === '\\(') return between(text, at, '\\)', absent);
  if (pair === '\\[') return between(text, at, '\\]', absent);
  if (pair === '$$') return between(text, at, '$$', absent);
  if (pair[0] === '$') return dollars(text, at, absent);
  return null;
}

function between(text: string, at: number, close: string, absent: Set<string>) {
  const end = absent.has(close) ? -1 : find(text, at + 2, close);
  if (end < 0) absent.add(close);
  if (end < 0) return text.length - at > longest ? null : 'unclosed';
  const tex = text.slice(at + 2, end).trim();
  return tex === '' || tex.length > longest ? null : { tex, display: close !== '\\)', end: end + 2 };
}

// A single dollar opens before something that is no space, and closes after such, not before a digit: "$5 to $9" is money.
function dollars(text: string, at: number, absent: Set<string>) {
  if (/[\s$]/.test(text[at + 1] ?? ' ') || /[\p{L}\p{N}]/u.test(text[at - 1] ?? '')) return null;
  const end = absent.has('$') ? -1 : find(text, at + 1, '$');
  if (end < 0) absent.add('$');
  if (end < 0) return /\d/.test(text[at + 1]!) || text.length - at > 400 ? null : 'unclosed';
  const tex = text.slice(at + 1, end);
  if (/\s/.test(text[end - 1]!) || /\d/.test(text[end + 1] ?? '') || /`|\n\s*\n/.test(tex)) return null;
  return { tex, display: false, end: end + 1 };
}

// Where `close` is; a backslash takes the character after it along, unless the two are the closing ones.
function find(text: string, from: number, close: string): number {
  for (let at = from; at < text.length; at++) {
    if (text.startsWith(close, at)) return at;
    if (text[at] === '\\') at++;
  }
  return -1;
}

function inlineRule(state: StateInline, silent: boolean): boolean {
  const char = state.src[state.pos];
  if (char !== '$' && char !== '\\') return false;
  const environment = state.env as Environment;
  const found = mathsAt(state.src, state.pos, (environment.absent ??= new Set()));
  if (found === 'unclosed' && environment.open) {
    // Shown as it is until its end comes, so that no half of it is taken for emphasis.
    if (!silent) state.pending += state.src.slice(state.pos);
    state.pos = state.posMax;
    return true;
  }
  if (!found || found === 'unclosed') return false;
  if (!silent) {
    const token = state.push('maths', 'math', 0);
    token.content = found.tex;
    token.meta = { display: found.display };
  }
  state.pos = found.end;
  return true;
}

// Maths that begins a line and ends one, with lines in between that would otherwise be lists or headings.
function blockRule(state: StateBlock, startLine: number, endLine: number, silent: boolean): boolean {
  if (state.sCount[startLine]! - state.blkIndent >= 4) return false;
  const lineText = (line: number) => state.src.slice(state.bMarks[line]! + state.tShift[line]!, state.eMarks[line]);
  const first = lineText(startLine);
  const begin = /^(\$\$|\\\[|\\begin\{(equation|align|alignat|gather|multline)(\*?)\})/.exec(first);
  if (!begin) return false;
  const named = begin[2] !== undefined;
  const close = named ? `\\end{${begin[2]}${begin[3]}}` : begin[1] === '$$' ? '$$' : '\\]';
  let text = '';
  let line = startLine;
  for (; line < endLine && text.length <= longest; line++) {
    if (line > startLine && state.sCount[line]! < state.blkIndent) break;
    text += `${lineText(line)}\n`;
    const end = find(text, begin[1]!.length, close);
    if (end < 0) continue;
    if (!/^[\s.,;]*$/.test(text.slice(end + close.length))) return false;
    const tex = named ? text.slice(0, end + close.length) : text.slice(2, end).trim();
    return tex !== '' && (silent || push(state, 'maths', tex, startLine, line + 1));
  }
  if (!(state.env as Environment).open || line < endLine || text.length > longest) return false;
  return silent || push(state, 'maths_open', text.trimEnd(), startLine, line);
}

function push(state: StateBlock, type: string, tex: string, from: number, to: number): boolean {
  const token = state.push(type, 'math', 0);
  token.block = true;
  token.content = tex;
  token.map = [from, to];
  token.meta = { display: true };
  state.line = to;
  return true;
}

export function addMaths(markdown: MarkdownIt) {
  markdown.inline.ruler.before('escape', 'maths', inlineRule);
  markdown.block.ruler.after('fence', 'maths', blockRule, { alt: ['paragraph', 'reference', 'blockquote', 'list'] });
}
