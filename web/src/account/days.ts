// Days of an organisation, whose time zone says when they begin.

/** The day that it is there at this moment, as 2026-11-27. */
export function dayIn(zone: string, moment: Date = new Date()): string {
  const format = (timeZone: string) =>
    new Intl.DateTimeFormat('en-CA', { timeZone, year: 'numeric', month: '2-digit', day: '2-digit' });
  try {
    return format(zone).format(moment);
  } catch {
    return format('UTC').format(moment); // a zone that this browser does not know
  }
}

/** So many days later, or earlier. */
export function addDays(day: string, count: number): string {
  const time = new Date(`${day}T00:00:00Z`);
  time.setUTCDate(time.getUTCDate() + count);
  return time.toISOString().slice(0, 10);
}

/** The last so many days, today being the last of them. */
export function lastDays(count: number, today: string): string[] {
  return Array.from({ length: count }, (_, i) => addDays(today, i - count + 1));
}
