// Numbers, times and money as people read them.

const locale = (language: string) => (language === 'zh' ? 'zh-CN' : 'en-GB');

export const number = (value: number, language: string) => value.toLocaleString(locale(language));

/** 950, 1.2k, 16k, 1.05M */
export function short(value: number): string {
  if (value < 1000) return String(Math.round(value));
  const [scaled, unit] = value < 999_500 ? [value / 1000, 'k'] : [value / 1e6, 'M'];
  return `${Number(scaled.toPrecision(scaled < 100 ? 2 : 3))}${unit}`;
}

/** Tokens a second. */
export const rate = (value: number) => value.toFixed(value < 100 ? 1 : 0);

/** Milliseconds as "0.4 s", "12 s", "3 min 5 s". */
export function duration(ms: number, language: string): string {
  const unit = language === 'zh' ? { s: ' 秒', min: ' 分' } : { s: ' s', min: ' min' };
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)}${unit.s}`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}${unit.s}`;
  return `${Math.floor(whole / 60)}${unit.min} ${whole % 60}${unit.s}`;
}

/** Which heading a chat stands below in the list. */
export function dayOf(seconds: number, now: Date): 'today' | 'yesterday' | 'week' | 'month' | string {
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate()).getTime();
  const days = Math.ceil((midnight - seconds * 1000) / 86_400_000);
  if (days <= 0) return 'today';
  if (days === 1) return 'yesterday';
  if (days < 7) return 'week';
  if (days < 30) return 'month';
  const date = new Date(seconds * 1000);
  return `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, '0')}`;
}

export function monthName(month: string, language: string): string {
  return new Date(`${month}-15`).toLocaleDateString(locale(language), { year: 'numeric', month: 'long' });
}

export function dateTime(seconds: number, language: string): string {
  return new Date(seconds * 1000).toLocaleString(locale(language), { dateStyle: 'medium', timeStyle: 'short' });
}
