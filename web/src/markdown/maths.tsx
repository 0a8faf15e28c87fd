// A formula, drawn as MathML by Temml, whose code is fetched with the first one.
import { Component, createRef } from 'preact';
import type { Options, render } from 'temml';
import { boundSizes } from './bounds';

let draw: typeof render | null = null;
let loading: Promise<void> | null = null;

const options: Options = { throwOnError: true, trust: false, maxExpand: 200, maxSize: [20, 50] };

interface Props {
  tex: string;
  display: boolean;
}

export class Maths extends Component<Props> {
  private readonly node = createRef<HTMLSpanElement>();

  override componentDidMount() { this.show(); }
  override componentDidUpdate() { this.show(); }
  override shouldComponentUpdate(next: Props) { return next.tex !== this.props.tex || next.display !== this.props.display; }

  private show() {
    const node = this.node.current;
    if (!node) return;
    const { tex, display } = this.props;
    if (!draw) {
      node.textContent = tex;
      loading ??= import('temml').then((temml) => { draw = temml.default.render; });
      void loading.then(() => this.show());
      return;
    }
    try {
      draw(tex, node, { ...options, displayMode: display });
      boundSizes(node);
      node.classList.remove('maths-failed');
    } catch {
      node.textContent = tex;
      node.classList.add('maths-failed');
    }
  }

  override render({ display }: Props) {
    return display ? <span class="maths display" ref={this.node} tabIndex={0} /> : <span class="maths" ref={this.node} />;
  }
}
