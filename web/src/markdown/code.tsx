// A block of code: its language, a copy button, and its lines in groups, so that a long one grows and is coloured part by part.
import { memo } from '../memo';
import { useEffect, useRef, useState } from 'preact/hooks';
import { CopyButton } from '../copy';
import { nextFrame, selectionIn } from '../frames';
import { highlight, type Piece } from './highlight';
import { t } from '../texts';

const groupSize = 40;

interface Props {
  code: string;
  language: string;
  open: boolean;
}

export function CodeBlock({ code, language, open }: Props) {
  const text = code.replace(/\n$/, '');
  const groups = groupsOf(text.split('\n'));
  const pre = useRef<HTMLPreElement>(null);
  const coloured = useColours(text, language, open, pre);
  return (
    <figure class="code">
      <figcaption>
        <span>{language}</span>
        <CopyButton text={() => text} label={t.value.copyCode} />
      </figcaption>
      <pre tabIndex={0} ref={pre}>
        <code>{groups.map((group, index) => <Lines text={group} pieces={coloured[index]} key={index} />)}</code>
      </pre>
    </figure>
  );
}

function groupsOf(lines: string[]): string[] {
  const groups: string[] = [];
  for (let from = 0; from < lines.length; from += groupSize) groups.push(lines.slice(from, from + groupSize).join('\n'));
  return groups;
}

const Lines = memo(({ text, pieces }: { text: string; pieces: Piece[][] | undefined }) => (
  <span class="lines">{pieces ? pieces.map(line) : `${text}\n`}</span>
));

function line(pieces: Piece[], index: number) {
  return <span key={index}>{pieces.map(([kind, text], at) => (kind ? <span class={`hl-${kind}`} key={at}>{text}</span> : text))}{'\n'}</span>;
}

// The coloured groups of finished code: one more each frame, and none while the reader has some of it selected.
function useColours(text: string, language: string, open: boolean, node: { current: HTMLElement | null }): Piece[][][] {
  const [groups, setGroups] = useState<Piece[][][]>([]);
  useEffect(() => {
    if (open) return undefined;
    let current = true;
    void highlight(text, language).then(async (lines) => {
      for (let from = 0; lines && current && from < lines.length; from += groupSize) {
        do await nextFrame(); while (current && node.current && selectionIn(node.current));
        const group = lines.slice(from, from + groupSize);
        if (current) setGroups((before) => [...before, group]);
      }
    });
    return () => {
      current = false;
      setGroups([]);
    };
  }, [text, language, open]);
  return groups;
}
