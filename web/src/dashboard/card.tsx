// A chart with what it says: the figure of now above it, a table and the server's totals below.
import { useMemo } from 'preact/hooks';
import { language } from '../texts';
import type { Card } from './cards';
import { Chart, pointed } from './chart';
import { clock, show, whole, type Unit } from './format';
import { columns, sinceStart, type Column, type Total } from './readings';
import type { Shown } from './live';
import type { Point, Value } from './series';
import { t } from './texts';

function statisticsOf(values: readonly Value[]): { mean: Value; most: Value } {
  const known = values.filter((value): value is number => value !== null);
  if (known.length === 0) return { mean: null, most: null };
  return { mean: known.reduce((all, value) => all + value, 0) / known.length, most: Math.max(...known) };
}

function Headline({ card, shown, model }: { card: Card; shown: Shown; model: string }) {
  const column = card.series[0]!.column;
  const now = shown.latest.get(model)?.[column] ?? null;
  const sinceText = t.value.sinceStart[card.name];
  const since = now === null && sinceText ? (sinceStart(shown.scrape, model)[column] ?? null) : null;
  return (
    <p class="headline">
      <strong>{show(now ?? since, card.unit, language.value)}</strong>{' '}
      <span>{since === null ? t.value.headline[card.name] : sinceText}</span>
    </p>
  );
}

interface LegendProps {
  card: Card;
  points: Point[];
  series: Value[][];
  latest: (column: Column) => Value;
}

function Legend({ card, points, series, latest }: LegendProps) {
  const at = pointed.value === null ? undefined : points[pointed.value];
  const text = (value: Value) => show(value, card.unit, language.value);
  return (
    <table class="legend">
      <caption class="visually-hidden">{t.value.card[card.name]}</caption>
      <thead>
        <tr>
          <th scope="col"><span class="visually-hidden">{t.value.series}</span></th>
          <th scope="col">{at ? clock(at.time, language.value, true) : t.value.now}</th>
          <th scope="col">{t.value.mean}</th>
          <th scope="col">{t.value.most}</th>
        </tr>
      </thead>
      <tbody>
        {card.series.map(({ column, colour }, i) => {
          const { mean, most } = statisticsOf(series[i]!);
          return (
            <tr key={column}>
              <th scope="row"><span class={`swatch colour-${colour}`} />{t.value.column[column]}</th>
              <td>{text(at ? (series[i]![pointed.value!] ?? null) : latest(column))}</td>
              <td>{text(mean)}</td>
              <td>{text(most)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function totalUnit(metric: string): Unit {
  return metric.endsWith('_bytes') ? 'bytes' : 'count';
}

function Totals({ totals }: { totals: Total[] }) {
  return (
    <p class="totals" title={t.value.totals}>
      {totals.length === 0 && t.value.noTotals}
      {totals.map(({ metric, label, value }) => (
        <span key={metric}>
          {label !== '' && `${label}: `}
          <data value={String(value)} data-metric={metric}>
            {totalUnit(metric) === 'bytes' ? show(value, 'bytes', language.value) : whole(value, language.value)}
          </data>{' '}
          {label === '' && t.value.total[metric]}
        </span>
      ))}
    </p>
  );
}

export interface CardViewProps {
  card: Card;
  shown: Shown;
  points: Point[];
  model: string;
  from: number; // the time at which the chart begins
}

export function CardView({ card, shown, points, model, from }: CardViewProps) {
  const title = t.value.card[card.name];
  const series = useMemo(
    () => card.series.map(({ column }) => {
      const place = columns.indexOf(column);
      return points.map(({ values }) => values[place] ?? null);
    }),
    [card, points],
  );
  const data = useMemo(
    (): [number[], ...Value[][]] => [points.map(({ time }) => time), ...series],
    [points, series],
  );
  const empty = series.every((values) => values.every((value) => value === null));
  return (
    <section class="metric-card" aria-labelledby={`card-${card.name}`}>
      <h2 id={`card-${card.name}`}>{title}</h2>
      <Headline card={card} shown={shown} model={model} />
      <div class="chart-box">
        <Chart
          label={t.value.chartOf(title)} unit={card.unit} colours={card.series.map(({ colour }) => colour)}
          data={data} from={from} to={shown.time}
        />
        {empty && <p class="chart-empty"><span>{t.value.nothingShown}</span></p>}
      </div>
      <Legend
        card={card} points={points} series={series}
        latest={(column) => shown.latest.get(model)?.[column] ?? null}
      />
      <Totals totals={card.totals(shown.scrape, model)} />
    </section>
  );
}
