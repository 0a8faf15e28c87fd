// Sizes that a formula asks for, held to what a reader can want: \rule{50cm}{500in} would be a wall of black.

// What a unit is in em, about.
const units: Record<string, number> = { em: 1, ex: 0.5, pt: 0.075, px: 0.06, pc: 0.9, mm: 0.21, cm: 2.1, in: 5.4 };

const wide = 20;
const high = 5;
const attributes = { width: wide, lspace: wide, height: high, depth: high, voffset: high, linethickness: 0.5 };
const styles = [['marginLeft', wide], ['paddingTop', high], ['paddingBottom', high]] as const;

/** The length, or `most` em in its direction where it is longer; what is no length stays as it is. */
export function bounded(length: string, most: number): string {
  const unit = units[/[a-z]{2}$/.exec(length)?.[0] ?? ''];
  const number = Number.parseFloat(length);
  if (unit === undefined || Number.isNaN(number) || Math.abs(number) * unit <= most) return length;
  return `${number < 0 ? '-' : length[0] === '+' ? '+' : ''}${most}em`;
}

/** Bounds the sizes in a formula that was drawn. */
export function boundSizes(formula: Element) {
  for (const part of formula.querySelectorAll<MathMLElement>('mspace, mpadded, mfrac, mrow')) {
    for (const [name, most] of Object.entries(attributes)) {
      const length = part.getAttribute(name);
      if (length !== null) part.setAttribute(name, bounded(length, most));
    }
    for (const [name, most] of styles) {
      if (part.style[name]) part.style[name] = bounded(part.style[name], most);
    }
  }
}
