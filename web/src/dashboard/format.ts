// Numbers for people.
import type { Language } from '../texts';
import type { Value } from './series';

export type Unit = 'count' | 'rate' | 'seconds' | 'share' | 'bytes';

const none = '–';

const formats = new Map<string, Intl.NumberFormat>();

function number(value: number, language: Language, options: Intl.NumberFormatOptions): string {
  const key = language + JSON.stringify(options);
  let format = formats.get(key);
  if (!format) formats.set(key, (format = new Intl.NumberFormat(language, options)));
  return format.format(value);
}

/** Every digit, in groups. */
export function whole(value: number, language: Language): string {
  return number(value, language, { maximumFractionDigits: 20 });
}

function seconds(value: number, language: Language): string {
  const significant = { maximumSignificantDigits: 3 };
  if (value === 0) return '0';
  if (value < 1e-3) return `${number(value * 1e6, language, significant)} µs`;
  if (value < 1) return `${number(value * 1e3, language, significant)} ms`;
  if (value < 120) return `${number(value, language, significant)} s`;
  return `${number(value / 60, language, significant)} min`;
}

function bytes(value: number, language: Language): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  const power = value < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(value) / 3));
  return `${number(value / 1000 ** power, language, { maximumSignificantDigits: 3 })} ${units[power]}`;
}

export function show(value: Value, unit: Unit, language: Language): string {
  if (value === null) return none;
  switch (unit) {
    case 'seconds':
      return seconds(value, language);
    case 'bytes':
      return bytes(value, language);
    case 'share':
      return number(value, language, { style: 'percent', maximumSignificantDigits: value < 0.1 ? 2 : 3 });
    case 'rate':
      return number(value, language, { maximumFractionDigits: value < 100 ? 1 : 0 });
    case 'count':
      return number(value, language, { maximumFractionDigits: Number.isInteger(value) ? 0 : 1 });
  }
}

export function clock(time: number, language: Language, withSeconds: boolean): string {
  return new Date(time * 1000).toLocaleTimeString(language, {
    hour: '2-digit', minute: '2-digit', hourCycle: 'h23', ...(withSeconds ? { second: '2-digit' } : {}),
  });
}
