import { Component, h, type ComponentType, type FunctionComponent } from 'preact';

/** A component that is drawn again only when one of its properties is another. */
export function memo<P extends object>(Inner: FunctionComponent<P>): ComponentType<P> {
  return class Memo extends Component<P> {
    override shouldComponentUpdate(next: P) {
      const names = Object.keys(next) as (keyof P)[];
      return names.some((name) => next[name] !== this.props[name]) || names.length !== Object.keys(this.props).length;
    }
    override render(props: P) {
      return h(Inner as FunctionComponent, props as object);
    }
  };
}
