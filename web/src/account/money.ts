// Amounts of money as the server tells them: decimal strings with up to nine digits after the
// point. They are never made numbers, which would round them.

const decimals = 9;
const unit = 10n ** BigInt(decimals);
const amountPattern = /^(-?)(\d+)(?:\.(\d{1,9}))?$/;

// In 10^-9 of the currency's unit. Null where it is no amount.
export function parseMoney(text: string): bigint | null {
  const found = amountPattern.exec(text.trim());
  if (!found) return null;
  const size = BigInt(found[2]!) * unit + BigInt((found[3] ?? '').padEnd(decimals, '0'));
  return found[1] === '-' ? -size : size;
}

// The shortest decimal string of it.
export function moneyText(nanos: bigint): string {
  const size = nanos < 0n ? -nanos : nanos;
  const part = (size % unit).toString().padStart(decimals, '0').replace(/0+$/, '');
  return `${nanos < 0n ? '-' : ''}${size / unit}${part === '' ? '' : `.${part}`}`;
}

export function sumMoney(amounts: readonly string[]): string {
  return moneyText(amounts.reduce((all, each) => all + (parseMoney(each) ?? 0n), 0n));
}

export function compareMoney(a: string, b: string): number {
  const difference = (parseMoney(a) ?? 0n) - (parseMoney(b) ?? 0n);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

// The share of `part` in `whole`, 0 to 1, for the length of a bar.
export function moneyShare(part: string, whole: string): number {
  const all = parseMoney(whole) ?? 0n;
  if (all === 0n) return 0;
  return Number(((parseMoney(part) ?? 0n) * 1_000_000n) / all) / 1_000_000;
}

// "¥" where the language has a sign for the currency, else its code and a space.
export function currencySign(currency: string, language: string): string {
  try {
    const format = new Intl.NumberFormat(language, { style: 'currency', currency, currencyDisplay: 'narrowSymbol' });
    const sign = format.formatToParts(0).find(({ type }) => type === 'currency')?.value ?? currency;
    return sign === currency ? `${currency} ` : sign;
  } catch {
    return `${currency} `; // an organisation may count in what is no currency of the world
  }
}

function withSign(sign: string, negative: boolean, whole: string, part: string): string {
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return `${negative ? '−' : ''}${sign}${grouped}.${part.padEnd(2, '0')}`;
}

// All of its digits: "¥1,234.000156".
export function exactMoney(text: string, currency: string, language: string): string {
  const found = amountPattern.exec(text);
  if (!found) return text;
  const sign = currencySign(currency, language);
  return withSign(sign, found[1] === '-', found[2]!, found[3] ?? '');
}

// For a glance: two digits after the point, or, of less than a unit, the first two that count. Cut
// off and not rounded, so that nobody is told of more than there is.
export function roughMoney(text: string, currency: string, language: string): string {
  const found = amountPattern.exec(text);
  if (!found) return text;
  const part = found[3] ?? '';
  const leading = /^0*/.exec(part)![0].length;
  const kept = /^0*$/.test(found[2]!) ? Math.max(2, leading + 2) : 2;
  const sign = currencySign(currency, language);
  return withSign(sign, found[1] === '-', found[2]!, part.slice(0, kept));
}
