// Tokens to Preact nodes.
import type { ComponentChild, VNode } from 'preact';
import { h } from 'preact';
import { CodeBlock } from './code';
import { cutAtUrls, safeUrl } from './links';
import { Maths } from './maths';
import { finishInline } from './mend';
import { inlineTokens, type References, type Token } from './parser';
import { t } from '../texts';

interface Open {
  tag: string;
  props: Record<string, unknown>;
  children: ComponentChild[];
  wide?: boolean;
}

/** Nodes of lines, by their text: a long list that grows is drawn again, its finished items are not. */
export type LineCache = Map<string, ComponentChild[]>;

export function nodesOf(tokens: Token[], references: References, open: boolean, lines: LineCache): ComponentChild[] {
  const root: Open = { tag: '', props: {}, children: [] };
  const stack = [root];
  const last = open ? tokens.findLastIndex((token) => token.type === 'inline') : -1;
  for (const [index, token] of tokens.entries()) {
    const top = stack.at(-1)!;
    if (token.nesting === 1) {
      stack.push(opened(token, top.children.length));
    } else if (token.nesting === -1) {
      const done = stack.pop()!;
      const parent = stack.at(-1)!;
      parent.children.push(closed(done, parent.children.length));
    } else if (token.type === 'inline') {
      const atEnd = index === last && tokens.slice(index).every((each) => each.nesting < 1);
      top.children.push(...lineNodes(token.content, references, atEnd, lines));
    } else {
      const openCode = open && index === tokens.length - 1;
      top.children.push(leaf(token, openCode, top.children.length));
    }
  }
  return root.children;
}

function opened(token: Token, key: number): Open {
  const props: Record<string, unknown> = { key };
  if (token.type === 'heading_open') {
    const level = Number(token.tag[1]);
    return { tag: `h${Math.min(6, Math.max(3, level + 1))}`, props: { ...props, class: `heading-${level}` }, children: [] };
  }
  if (token.type === 'paragraph_open' && token.hidden) return { tag: '', props, children: [] };
  const start = token.attrGet('start');
  if (start) props.start = Number(start);
  const align = /text-align:(right|center)/.exec(String(token.attrGet('style')))?.[1];
  if (align) props.class = `align-${align}`;
  return { tag: token.tag, props, children: [], wide: token.tag === 'table' };
}

function closed({ tag, props, children, wide }: Open, key: number): ComponentChild {
  if (tag === '') return children as ComponentChild;
  if (tag === 'li') takeCheckbox(children);
  const node = h(tag, { ...props, key } as never, children);
  return wide ? <div class="table-scroll" tabIndex={0} key={key}>{node}</div> : node;
}

// "[x] done" at the start of an item is a box that is ticked.
function takeCheckbox(children: ComponentChild[]) {
  const line = Array.isArray(children[0]) ? (children[0] as ComponentChild[]) : children;
  const box = typeof line[0] === 'string' ? /^\[([ xX])\] /.exec(line[0]) : null;
  if (!box) return;
  line.splice(0, 1, <span class="box" aria-hidden="true" key="box">{box[1] === ' ' ? '☐' : '☑'}</span>, (line[0] as string).slice(3));
}

function leaf(token: Token, open: boolean, key: number): VNode | null {
  switch (token.type) {
    case 'fence':
    case 'code_block':
      return <CodeBlock code={token.content} language={token.info.trim().split(/\s+/)[0] ?? ''} open={open} key={key} />;
    case 'maths':
      return <Maths tex={token.content} display key={key} />;
    case 'maths_open':
      return <p class="maths-open" key={key}>{token.content}</p>;
    case 'hr':
      return <hr key={key} />;
    default:
      // A link's address, which other lines refer to.
      return null;
  }
}

function lineNodes(text: string, references: References, open: boolean, lines: LineCache): ComponentChild[] {
  if (open) {
    const plain = plainStart(text);
    const rest = inlineNodes(inlineTokens(finishInline(text.slice(plain)), references, true));
    return plain > 0 ? [text.slice(0, plain), ...rest] : rest;
  }
  let nodes = lines.get(text);
  if (!nodes) lines.set(text, nodes = inlineNodes(inlineTokens(text, references, false)));
  return nodes;
}

// Of a long line that grows, the start that has no marks in it need not be looked through again.
function plainStart(text: string): number {
  if (text.length < 2000) return 0;
  const mark = text.search(/[*_~`[\]$\\<&!]| {2}\n|:\/\//);
  return text.lastIndexOf(' ', mark < 0 ? text.length - 1 : mark) + 1;
}

function inlineNodes(tokens: Token[]): ComponentChild[] {
  const stack: Open[] = [{ tag: '', props: {}, children: [] }];
  for (const [key, token] of tokens.entries()) {
    const top = stack.at(-1)!;
    if (token.nesting === 1) {
      stack.push(token.type === 'link_open' ? link(token, key) : { tag: token.tag, props: { key }, children: [] });
    } else if (token.nesting === -1) {
      const { tag, props, children } = stack.pop()!;
      stack.at(-1)!.children.push(tag === '' ? children as ComponentChild : h(tag, props as never, children));
    } else {
      add(top.children, inlineLeaf(token, key, stack.some(({ tag }) => tag === 'a')));
    }
  }
  return stack[0]!.children;
}

// Texts next to each other become one.
function add(children: ComponentChild[], nodes: ComponentChild[]) {
  for (const node of nodes) {
    const last = children.at(-1);
    if (typeof node === 'string' && typeof last === 'string') children[children.length - 1] = last + node;
    else if (node !== '') children.push(node);
  }
}

function inlineLeaf(token: Token, key: number, inLink: boolean): ComponentChild[] {
  switch (token.type) {
    case 'code_inline':
      return [<code key={key}>{token.content}</code>];
    case 'maths':
      return [<Maths tex={token.content} display={token.meta?.display === true} key={key} />];
    case 'hardbreak':
      return [<br key={key} />];
    case 'softbreak':
      return ['\n'];
    case 'image':
      return [imageLink(token, key, inLink)];
    default:
      return inLink ? [token.content] : cutAtUrls(token.content).map((part, index) => (index % 2 === 0 ? part : bareLink(part, `${key}-${index}`)));
  }
}

const linkProps = { rel: 'noopener noreferrer nofollow', target: '_blank' };

function link(token: Token, key: number): Open {
  const url = safeUrl(String(token.attrGet('href')));
  return url ? { tag: 'a', props: { key, href: url.href, ...linkProps }, children: [] } : { tag: '', props: {}, children: [] };
}

function bareLink(text: string, key: string): ComponentChild {
  const url = safeUrl(text);
  return url ? <a href={url.href} {...linkProps} key={key}>{text}</a> : text;
}

// A picture that a model names is never fetched: its address may carry what was said in the chat.
function imageLink(token: Token, key: number, inLink: boolean): ComponentChild {
  const url = safeUrl(String(token.attrGet('src')));
  const label = token.content || t.value.image;
  if (!url || inLink) return label;
  return <a class="image-link" href={url.href} {...linkProps} key={key}>{label} <small>({url.host})</small></a>;
}
