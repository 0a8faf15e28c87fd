// What an organisation used in a time, by day, key or model.
import { useEffect, useState } from 'preact/hooks';
import { whole } from '../dashboard/format';
import { sentenceOf } from '../errors';
import { language } from '../texts';
import * as api from './api';
import { keyName } from './book';
import { download, usageCsv } from './csv';
import { addDays, dayIn } from './days';
import { compareMoney, exactMoney, sumMoney } from './money';
import { t } from './texts';

const groups: readonly api.UsageBy[] = ['day', 'key', 'model'];
const tokens = ['text_tokens', 'cached_tokens', 'image_tokens', 'output_tokens'] as const;

function sortLines({ by, data }: api.Usage): api.UsageLine[] {
  return by === 'day' ? data : [...data].sort((a, b) => compareMoney(b.charge, a.charge));
}

interface ToolsProps {
  by: api.UsageBy;
  setBy: (by: api.UsageBy) => void;
  period: api.Period;
  setPeriod: (period: api.Period) => void;
  zone: string;
}

function Tools({ by, setBy, period, setPeriod, zone }: ToolsProps) {
  const texts = t.value.usage;
  const day = (name: 'from' | 'to') => (
    <label>
      {texts[name]}
      <input
        type="date" value={period[name] ?? ''}
        onChange={(event) => setPeriod({ ...period, [name]: event.currentTarget.value })}
      />
    </label>
  );
  return (
    <div class="panel-tools">
      <label>
        {texts.by}
        <select value={by} onChange={(event) => setBy(event.currentTarget.value as api.UsageBy)}>
          {groups.map((group) => <option key={group} value={group}>{texts.groups[group]}</option>)}
        </select>
      </label>
      {day('from')}
      {day('to')}
      <span class="quiet">{texts.zone(zone)}</span>
    </div>
  );
}

function Lines({ usage }: { usage: api.Usage }) {
  const texts = t.value.usage;
  const lines = sortLines(usage);
  const money = (amount: string) => exactMoney(amount, usage.currency, language.value);
  const number = (value: number) => whole(value, language.value);
  const labels = [texts.text, texts.cached, texts.image, texts.output];
  const total = (column: 'requests' | (typeof tokens)[number]) =>
    number(lines.reduce((all, line) => all + line[column], 0));
  return (
    <table class="table stacks">
      <caption class="visually-hidden">{t.value.tabs.usage}</caption>
      <thead>
        <tr>
          <th scope="col">{texts.groups[usage.by]}</th>
          {[texts.requests, ...labels, texts.charge].map((label) => <th key={label} scope="col" class="number">{label}</th>)}
        </tr>
      </thead>
      <tbody>
        {lines.map((line) => {
          const name = line[usage.by] ?? '';
          return (
            <tr key={name}>
              <th scope="row">{usage.by === 'key' ? <span title={name}>{keyName(name)}</span> : name}</th>
              <td data-label={texts.requests} class="number">{number(line.requests)}</td>
              {tokens.map((column, i) => (
                <td key={column} data-label={labels[i]} class="number">{number(line[column])}</td>
              ))}
              <td data-label={texts.charge} class="number">{money(line.charge)}</td>
            </tr>
          );
        })}
      </tbody>
      <tfoot>
        <tr>
          <th scope="row">{texts.total}</th>
          <td data-label={texts.requests} class="number">{total('requests')}</td>
          {tokens.map((column, i) => (
            <td key={column} data-label={labels[i]} class="number">{total(column)}</td>
          ))}
          <td data-label={texts.charge} class="number">{money(sumMoney(lines.map(({ charge }) => charge)))}</td>
        </tr>
      </tfoot>
    </table>
  );
}

export function UsageTable({ organisation }: { organisation: api.Organisation }) {
  const today = dayIn(organisation.time_zone);
  const [by, setBy] = useState<api.UsageBy>('day');
  const [period, setPeriod] = useState<api.Period>({ from: addDays(today, -29), to: today });
  const [usage, setUsage] = useState<api.Usage | null>(null);
  const [failure, setFailure] = useState('');

  useEffect(() => {
    let current = true;
    api.usage(organisation.name, by, period).then(
      (found) => {
        if (!current) return;
        setUsage(found);
        setFailure('');
      },
      (error) => { if (current) setFailure(sentenceOf(error)); },
    );
    return () => { current = false; };
  }, [organisation.name, by, period]);

  const save = (found: api.Usage) => {
    const name = `usage-${organisation.name}-${[period.from, period.to].filter(Boolean).join('-to-')}-by-${found.by}.csv`;
    download(name, 'text/csv;charset=utf-8', usageCsv(found.by, found.currency, sortLines(found), keyName));
  };
  return (
    <>
      <Tools by={by} setBy={setBy} period={period} setPeriod={setPeriod} zone={organisation.time_zone} />
      {failure && <p class="error" role="alert">{failure}</p>}
      {usage?.data.length === 0 && <p>{t.value.usage.nothing}</p>}
      {usage && usage.data.length > 0 && (
        <>
          <Lines usage={usage} />
          <p><button type="button" class="button" onClick={() => save(usage)}>{t.value.usage.download}</button></p>
        </>
      )}
    </>
  );
}
