// The tree that highlight.js makes of some code, as lines of pieces.
import type { Piece } from './highlight';

export interface Tree {
  scope?: string;
  children: (string | Tree)[];
}

export function linesOf(root: Tree): Piece[][] {
  const lines: Piece[][] = [[]];
  const walk = (node: string | Tree, kind: string) => {
    if (typeof node !== 'string') {
      for (const child of node.children) walk(child, node.scope ? kindOf(node.scope) : kind);
      return;
    }
    for (const [index, text] of node.split('\n').entries()) {
      if (index > 0) lines.push([]);
      if (text !== '') lines.at(-1)!.push([kind, text]);
    }
  };
  walk(root, '');
  return lines;
}

// "title.function" and the like are coloured as their first part.
function kindOf(scope: string): string {
  return scope.split('.')[0]!;
}
