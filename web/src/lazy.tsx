// Components whose code is fetched when they are first shown.
import type { ComponentType } from 'preact';
import { signal } from '@preact/signals';

export function lazy<P extends object>(load: () => Promise<ComponentType<P>>) {
  const loaded = signal<ComponentType<P> | null>(null);
  let loading: Promise<void> | null = null;
  const fetchIt = () => (loading ??= load().then((component) => { loaded.value = component; }));
  return function Lazy(props: P) {
    const Component = loaded.value;
    if (!Component) {
      void fetchIt();
      return null;
    }
    return <Component {...props} />;
  };
}
