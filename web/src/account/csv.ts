// Usage as a table for spreadsheets.
import type { UsageBy, UsageLine } from './api';

const numbers = [
  'requests', 'prompt_tokens', 'text_tokens', 'cached_tokens', 'image_tokens', 'output_tokens', 'reasoning_tokens',
] as const;

function cell(text: string): string {
  // Spreadsheets take what begins so for a formula, whoever named a key like that.
  const plain = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

/** `nameOf` says what a key is called. */
export function usageCsv(by: UsageBy, currency: string, lines: readonly UsageLine[], nameOf: (id: string) => string) {
  const names = by === 'key' ? ['key', 'name'] : [by];
  const rows = lines.map((line) => {
    const name = line[by] ?? '';
    const first = by === 'key' ? [name, nameOf(name)] : [name];
    return [...first.map(cell), ...numbers.map((column) => String(line[column])), line.charge, cell(currency)];
  });
  return [[...names, ...numbers, 'charge', 'currency'], ...rows].map((row) => `${row.join(',')}\r\n`).join('');
}

export function download(name: string, type: string, text: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
