// For tests: what nodes would be drawn, as text.
import type { ComponentChild, VNode } from 'preact';

const isNode = (child: unknown): child is VNode<Record<string, unknown>> => typeof child === 'object' && child !== null && 'type' in child;

/** Every node in depth-first order. */
export function allNodes(child: ComponentChild): VNode<Record<string, unknown>>[] {
  if (Array.isArray(child)) return child.flatMap(allNodes);
  if (!isNode(child)) return [];
  return [child, ...allNodes(child.props.children as ComponentChild)];
}

export function outline(child: ComponentChild): string {
  if (Array.isArray(child)) return child.map(outline).join('');
  if (!isNode(child)) return child === null || child === undefined || child === false ? '' : String(child);
  const { type, props } = child;
  if (typeof type === 'function') {
    const name = (type as { name: string }).name;
    return name === 'Maths' ? `{${props.display ? 'display ' : ''}${String(props.tex)}}` : `[${name} ${String(props.language)}|${String(props.code)}]`;
  }
  const href = props.href ? ` ${String(props.href)}` : '';
  return `<${type}${href}>${outline(props.children as ComponentChild)}</${type}>`;
}
