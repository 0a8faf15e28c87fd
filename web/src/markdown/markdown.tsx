// An answer's text. Finished blocks keep their nodes; the last one is drawn again as it grows.
import { Component, type VNode } from 'preact';
import { useRef } from 'preact/hooks';
import { memo } from '../memo';
import { whenIdle } from '../frames';
import { holdBack } from './mend';
import { nodesOf, type LineCache } from './nodes';
import { blockTokens, type References } from './parser';
import { Splitter } from './splitter';

// So many blocks are drawn at once; the rest of a long text follows frame by frame.
const blocksAtOnce = 16;

interface Props {
  text: string;
  /** Whether more text may follow. */
  open: boolean;
}

export class Markdown extends Component<Props> {
  private readonly splitter = new Splitter();
  private blocks: VNode[] = [];
  private version = 0;
  // The blocks shown: an old answer is drawn from its end, where the reader is, a growing one from its start.
  private from = 0;
  private to = 0;
  private gone = false;
  private waits = false;

  constructor(props: Props) {
    super(props);
    this.splitter.update(props.text, props.open);
    if (!props.open) {
      this.to = this.splitter.closed.length;
      this.from = Math.max(0, this.to - blocksAtOnce);
    }
  }

  override shouldComponentUpdate(next: Props) {
    return next.text !== this.props.text || next.open !== this.props.open;
  }

  override componentWillUnmount() {
    this.gone = true;
  }

  private continueLater() {
    if (this.waits) return;
    this.waits = true;
    whenIdle(() => {
      this.waits = false;
      if (!this.gone) this.forceUpdate();
    });
  }

  private grow(all: boolean): boolean {
    const { closed, references, version } = this.splitter;
    if (version !== this.version) {
      this.version = version;
      this.blocks = [];
      this.from = 0;
      this.to = 0;
    }
    for (let index = this.blocks.length; index < closed.length; index++) {
      this.blocks.push(<Block text={closed[index]!} open={false} references={references} key={index} />);
    }
    if (this.to < closed.length) this.to = Math.min(closed.length, this.to + blocksAtOnce);
    else this.from = Math.max(0, this.from - blocksAtOnce);
    const caughtUp = all && this.to === closed.length;
    if (!caughtUp || this.from > 0) this.continueLater();
    return caughtUp;
  }

  override render({ text, open }: Props) {
    const caughtUp = this.grow(this.splitter.update(text, open));
    const tail = caughtUp ? this.splitter.tail : '';
    return (
      <div class="markdown">
        {this.blocks.slice(this.from, this.to)}
        {tail.trim() !== '' && <Block text={tail} open references={this.splitter.references} key={this.splitter.closed.length} />}
      </div>
    );
  }
}

interface BlockProps {
  text: string;
  open: boolean;
  references: References;
}

const Block = memo(({ text, open, references }: BlockProps) => {
  const lines = useRef<LineCache>(new Map());
  const shown = open ? holdBack(text) : text;
  const nodes = nodesOf(blockTokens(shown, references, open), references, open, lines.current);
  if (!open) lines.current = new Map();
  return <>{nodes}</>;
});
