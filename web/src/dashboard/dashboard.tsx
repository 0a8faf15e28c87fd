// The dashboard: what the server does now and did in the last hour.
import { useEffect, useMemo } from 'preact/hooks';
import { signal } from '@preact/signals';
import { sentenceOf } from '../errors';
import { hrefOf } from '../route';
import { ServerError } from '../server';
import { kept } from '../state/kept';
import { me } from '../state/me';
import { language } from '../texts';
import { CardView } from './card';
import { cards } from './cards';
import { show } from './format';
import { problem, shown, watch, type Shown } from './live';
import { followTheme } from './palette';
import { hasAnswered, secondsSinceStep } from './readings';
import { Spend } from './spend';
import { t } from './texts';
import './dashboard.css';

const ranges = ['5', '15', '60'] as const; // minutes
const range = signal(kept.get('dashboard.range', ranges, '15'));
const model = signal('');

function RangePicker() {
  return (
    <div class="segments" role="group" aria-label={t.value.range}>
      {ranges.map((minutes) => (
        <button
          key={minutes} type="button" aria-pressed={range.value === minutes}
          onClick={() => {
            range.value = minutes;
            kept.set('dashboard.range', minutes);
          }}
        >
          {t.value.minutes(Number(minutes))}
        </button>
      ))}
    </div>
  );
}

function ModelPicker({ models }: { models: string[] }) {
  if (models.length < 2) return null;
  return (
    <label class="picker">
      {t.value.model}
      <select value={model.value} onChange={(event) => { model.value = event.currentTarget.value; }}>
        <option value="">{t.value.allModels}</option>
        {models.map((name) => <option key={name} value={name}>{name}</option>)}
      </select>
    </label>
  );
}

function reasonOf(error: Error): string {
  return error instanceof ServerError ? sentenceOf(error) : `${error.message}.`;
}

function Notices({ current }: { current: Shown | null }) {
  const still = current ? secondsSinceStep(current.scrape) : 0;
  const stuckAfter = 30; // seconds: longer than any step of a model that fits the machine
  return (
    <>
      {problem.value !== null && (
        <p class="notice bad" role="alert">{t.value.problem(reasonOf(problem.value))}</p>
      )}
      {still > stuckAfter && (
        <p class="notice bad" role="alert">{t.value.stuck(show(Math.round(still), 'seconds', language.value))}</p>
      )}
      {!current && problem.value === null && <p class="notice" role="status">{t.value.connecting}</p>}
      {current && !hasAnswered(current.scrape) && (
        <p class="notice">
          <strong>{t.value.nothingYet}</strong> {t.value.nothingYetHint}{' '}
          {!me.value?.is_admin && <a href={hrefOf({ view: 'chat', chat: null })}>{t.value.startChat}</a>}
        </p>
      )}
    </>
  );
}

function Charts({ current }: { current: Shown }) {
  // One that the server has no more, after a restart with others, is none to show.
  const chosen = current.models.includes(model.value) ? model.value : '';
  const seconds = Number(range.value) * 60;
  const points = useMemo(
    () => current.points(chosen).filter(({ time }) => time >= current.time - seconds),
    [current, chosen, seconds],
  );
  // A page that was just opened has few points: they get the whole chart.
  const least = 60;
  const from = Math.max(current.time - seconds, Math.min(points[0]!.time, current.time - least));
  return (
    <div class="metric-cards">
      {cards.map((card) => (
        <CardView key={card.name} card={card} shown={current} points={points} model={chosen} from={from} />
      ))}
    </div>
  );
}

function Live() {
  useEffect(watch, []);
  useEffect(followTheme, []);
  const current = shown.value;
  return (
    <>
      <div class="dashboard-tools">
        <ModelPicker models={current?.models ?? []} />
        <RangePicker />
        {problem.value === null
          ? <span class="live" title={t.value.liveHint}>{t.value.live}</span>
          : <span class="live bad">{t.value.interrupted}</span>}
      </div>
      <Notices current={current} />
      {current && <Charts current={current} />}
    </>
  );
}

export function Dashboard() {
  const who = me.value;
  return (
    <div class="page-view dashboard">
      <h1>{t.value.title}</h1>
      {who && !who.sees_metrics && (
        <p class="notice"><strong>{t.value.noMetrics}</strong> {t.value.noMetricsHint}</p>
      )}
      {who?.sees_metrics && <Live />}
      {who?.is_admin && <Spend />}
    </div>
  );
}
