// Markdown to tokens. No HTML is taken from the text, and none is made of it.
import MarkdownIt, { type Env, type Token } from 'markdown-it';
import { addMaths, type Environment } from './maths_rules';

export type { Token };

const markdown = new MarkdownIt({ html: false, linkify: false });
addMaths(markdown);

export type References = NonNullable<Env['references']>;

/** The blocks of a text; what is within a line is parsed by `inlineTokens`. `references` are read and added to. */
export function blockTokens(text: string, references: References, open: boolean): Token[] {
  const tokens: Token[] = [];
  const environment: Environment = { open, references };
  markdown.block.parse(text, markdown, environment, tokens);
  return tokens;
}

export function inlineTokens(text: string, references: References, open: boolean): Token[] {
  const tokens: Token[] = [];
  const environment: Environment = { open, references };
  markdown.inline.parse(text, markdown, environment, tokens);
  return tokens;
}
