// The text format in which /metrics answers: https://prometheus.io/docs/instrumenting/exposition_formats/

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  labels: Labels;
  value: number;
}

// All samples of one scrape, by their names. A histogram is its _bucket, _sum and _count.
export type Scrape = ReadonlyMap<string, readonly Sample[]>;

const metricName = /[a-zA-Z_:][a-zA-Z0-9_:]*/y;
const labelName = /[a-zA-Z_][a-zA-Z0-9_]*/y;
const spaces = /[ \t]*/y;
const word = /[^ \t]+/y;

// Reads one line from left to right.
class Reader {
  private at = 0;
  constructor(private readonly line: string) {}

  take(pattern: RegExp): string {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.line)?.[0] ?? '';
    this.at += found.length;
    return found;
  }

  skip(text: string): boolean {
    if (!this.line.startsWith(text, this.at)) return false;
    this.at += text.length;
    return true;
  }

  // What stands between quotes, in which \\, \" and \n are escapes.
  quoted(): string {
    if (!this.skip('"')) throw new Error('a quote is expected');
    let value = '';
    while (this.at < this.line.length) {
      const letter = this.line[this.at++]!;
      if (letter === '"') return value;
      if (letter !== '\\') {
        value += letter;
        continue;
      }
      const escaped = this.line[this.at++];
      if (escaped === 'n') value += '\n';
      else if (escaped === '"' || escaped === '\\') value += escaped;
      else throw new Error(`\\${escaped ?? ''} is no escape`);
    }
    throw new Error('a quote is never closed');
  }

  ended(): boolean {
    return this.at === this.line.length;
  }
}

function readNumber(text: string): number {
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return Number(text);
  switch (text.toLowerCase()) {
    case 'nan':
      return NaN;
    case 'inf':
    case '+inf':
      return Infinity;
    case '-inf':
      return -Infinity;
    default:
      throw new Error(`"${text}" is no number`);
  }
}

function readLabels(reader: Reader): Labels {
  const labels: Record<string, string> = Object.create(null);
  if (!reader.skip('{')) return labels;
  for (;;) {
    reader.take(spaces);
    if (reader.skip('}')) return labels;
    const name = reader.take(labelName);
    if (name === '') throw new Error('a label is expected');
    reader.take(spaces);
    if (!reader.skip('=')) throw new Error('= is expected');
    reader.take(spaces);
    labels[name] = reader.quoted();
    reader.take(spaces);
    if (reader.skip(',')) continue;
    if (reader.skip('}')) return labels;
    throw new Error(', or } is expected');
  }
}

function readSample(line: string): { name: string; sample: Sample } {
  const reader = new Reader(line);
  const name = reader.take(metricName);
  if (name === '') throw new Error('a name is expected');
  reader.take(spaces);
  const labels = readLabels(reader);
  reader.take(spaces);
  const value = readNumber(reader.take(word));
  reader.take(spaces);
  // When it was measured: ours has none, since it is always now.
  const timestamp = reader.take(word);
  reader.take(spaces);
  if ((timestamp !== '' && !/^-?\d+$/.test(timestamp)) || !reader.ended()) {
    throw new Error('the line goes on after its value');
  }
  return { name, sample: { labels, value } };
}

// Throws an Error that names the line where it is not in the format.
export function parseScrape(text: string): Scrape {
  const scrape = new Map<string, Sample[]>();
  text.split('\n').forEach((full, index) => {
    const line = full.trim();
    if (line === '' || line.startsWith('#')) return;
    try {
      const { name, sample } = readSample(line);
      const samples = scrape.get(name);
      if (samples) samples.push(sample);
      else scrape.set(name, [sample]);
    } catch (error) {
      throw new Error(`/metrics, line ${index + 1}: ${(error as Error).message}`);
    }
  });
  return scrape;
}

// Those that have at least these labels.
export function select(scrape: Scrape, name: string, where: Labels = {}): readonly Sample[] {
  const wanted = Object.entries(where);
  const samples = scrape.get(name) ?? [];
  return samples.filter(({ labels }) => wanted.every(([label, value]) => labels[label] === value));
}

export function sum(samples: readonly Sample[]): number {
  return samples.reduce((all, { value }) => all + value, 0);
}

// The samples by the values of a label, in the order in which they came.
export function groupBy(samples: readonly Sample[], label: string): Map<string, Sample[]> {
  const groups = new Map<string, Sample[]>();
  for (const sample of samples) {
    const value = sample.labels[label] ?? '';
    const group = groups.get(value);
    if (group) group.push(sample);
    else groups.set(value, [sample]);
  }
  return groups;
}
