// What the keys of an organisation have spent, today and in the last thirty days.
import { useEffect } from 'preact/hooks';
import { computed, signal } from '@preact/signals';
import * as api from '../account/api';
import { addDays, dayIn, lastDays } from '../account/days';
import { compareMoney, exactMoney, moneyShare, roughMoney, sumMoney } from '../account/money';
import { sentenceOf } from '../errors';
import { hrefOf } from '../route';
import { me } from '../state/me';
import { language } from '../texts';
import { whole } from './format';
import { t } from './texts';

interface Spent {
  organisation: api.Organisation;
  names: Map<string, string>; // of keys, by their ids
  today: api.UsageLine[]; // by key
  month: api.UsageLine[];
  days: { day: string; charge: string }[];
}

const every = 60_000; // milliseconds
const daysShown = 30;

const organisations = signal<api.Organisation[]>([]);
const chosen = signal<string | null>(null);
const spent = signal<Spent | null>(null);
const failure = signal('');
const showsToday = signal(true);

const current = computed(() => {
  const name = chosen.value ?? me.value?.organisation?.name;
  return organisations.value.find((each) => each.name === name) ?? organisations.value[0] ?? null;
});

async function load(): Promise<void> {
  try {
    organisations.value = await api.organisations();
    const organisation = current.value;
    if (!organisation) return;
    const { name, time_zone } = organisation;
    const today = dayIn(time_zone);
    const from = addDays(today, 1 - daysShown);
    const [keys, ofToday, ofMonth, byDay] = await Promise.all([
      api.keys(name),
      api.usage(name, 'key', { from: today, to: today }),
      api.usage(name, 'key', { from, to: today }),
      api.usage(name, 'day', { from, to: today }),
    ]);
    const charges = new Map(byDay.data.map(({ day, charge }) => [day, charge]));
    spent.value = {
      organisation,
      names: new Map(keys.map((key) => [key.id, key.name])),
      today: ofToday.data,
      month: ofMonth.data,
      days: lastDays(daysShown, today).map((day) => ({ day, charge: charges.get(day) ?? '0' })),
    };
    failure.value = '';
  } catch (error) {
    failure.value = sentenceOf(error);
  }
}

function ByKey({ lines, names, currency }: { lines: api.UsageLine[]; names: Map<string, string>; currency: string }) {
  const sorted = [...lines].sort((a, b) => compareMoney(b.charge, a.charge));
  const most = sorted[0]?.charge ?? '0';
  if (sorted.length === 0) return <p class="quiet">{t.value.noSpend}</p>;
  return (
    <ul class="bars">
      {sorted.map(({ key = '', requests, prompt_tokens, output_tokens, charge }) => (
        <li key={key}>
          <span class="bar-name" title={key}>{names.get(key) ?? key}</span>
          <span class="bar-amount">{exactMoney(charge, currency, language.value)}</span>
          <span class="bar"><span style={{ width: `${moneyShare(charge, most) * 100}%` }} /></span>
          <span class="bar-note">
            {t.value.requestsAndTokens(
              whole(requests, language.value),
              whole(prompt_tokens + output_tokens, language.value),
            )}
          </span>
        </li>
      ))}
    </ul>
  );
}

function ByDay({ days, currency }: { days: Spent['days']; currency: string }) {
  const most = days.reduce((highest, { charge }) => (compareMoney(charge, highest) > 0 ? charge : highest), '0');
  return (
    <>
      <ol class="days">
        {days.map(({ day, charge }) => {
          const text = `${day}: ${exactMoney(charge, currency, language.value)}`;
          return (
            <li key={day} title={text}>
              <span class="day-bar" style={{ height: `${moneyShare(charge, most) * 100}%` }} />
              <span class="visually-hidden">{text}</span>
            </li>
          );
        })}
      </ol>
      <p class="days-scale" aria-hidden="true"><span>{days[0]!.day}</span><span>{days.at(-1)!.day}</span></p>
    </>
  );
}

function OrganisationPicker() {
  if (organisations.value.length < 2) return null;
  return (
    <label class="picker">
      {t.value.organisation}
      <select
        value={current.value?.name ?? ''}
        onChange={(event) => {
          chosen.value = event.currentTarget.value;
          void load();
        }}
      >
        {organisations.value.map(({ name }) => <option key={name} value={name}>{name}</option>)}
      </select>
    </label>
  );
}

function Figure({ text, lines, currency, pressed }: {
  text: string; lines: api.UsageLine[]; currency: string; pressed: boolean;
}) {
  const all = sumMoney(lines.map(({ charge }) => charge));
  return (
    <button
      type="button" class="spend-figure" aria-pressed={pressed} title={exactMoney(all, currency, language.value)}
      onClick={() => { showsToday.value = lines === spent.value?.today; }}
    >
      <strong>{roughMoney(all, currency, language.value)}</strong> <span>{text}</span>
    </button>
  );
}

export function Spend() {
  useEffect(() => {
    void load();
    const timer = setInterval(() => { if (!document.hidden) void load(); }, every);
    return () => clearInterval(timer);
  }, []);
  const all = spent.value;
  const currency = all?.organisation.currency ?? '';
  return (
    <section class="metric-card spend" aria-labelledby="card-spend">
      <header>
        <h2 id="card-spend">{t.value.spend}</h2>
        <OrganisationPicker />
        <a href={hrefOf({ view: 'keys' })}>{t.value.manageKeys}</a>
      </header>
      {failure.value && <p class="notice bad" role="alert">{failure.value}</p>}
      {all && (
        <div class="spend-columns">
          <div>
            <p class="spend-figures">
              <Figure text={t.value.today} lines={all.today} currency={currency} pressed={showsToday.value} />
              <Figure text={t.value.thirtyDays} lines={all.month} currency={currency} pressed={!showsToday.value} />
            </p>
            <h3>{t.value.byKey}</h3>
            <ByKey lines={showsToday.value ? all.today : all.month} names={all.names} currency={currency} />
          </div>
          <div>
            <h3>{t.value.byDay}</h3>
            <ByDay days={all.days} currency={currency} />
          </div>
        </div>
      )}
    </section>
  );
}
