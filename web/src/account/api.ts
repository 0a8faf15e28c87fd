// What administrators ask of the ledger, and who signs in. Money is a decimal string, of prices for a
// million tokens; days are the organisation's, as 2026-11-27.
import { get, post } from '../server';

export interface Organisation {
  name: string;
  currency: string;
  time_zone: string;
  balance: string;
  held: string;
}

/** 0 is no limit. */
export interface Limits {
  requests_per_minute: number;
  tokens_per_minute: number;
  concurrent: number;
  spend_per_day: string;
}
export type LimitName = keyof Limits;

export interface Key extends Limits {
  id: string;
  organisation: string;
  name: string;
  scope: Scope;
  created: string;
  expires: string | null;
  revoked: string | null;
}
export type Scope = 'inference' | 'admin';

export interface Prices {
  model: string;
  currency: string;
  input: string;
  cached: string;
  image: string;
  output: string;
}

export interface Deposit {
  reference: string;
  amount: string;
  at: string;
}

export type UsageBy = 'day' | 'key' | 'model';

/** What was used in a day, by a key's id or by a model: the one that was asked for. */
export interface UsageLine {
  day?: string;
  key?: string;
  model?: string;
  requests: number;
  prompt_tokens: number;
  text_tokens: number;
  cached_tokens: number;
  image_tokens: number;
  output_tokens: number;
  reasoning_tokens: number;
  charge: string;
}

export interface Usage {
  by: UsageBy;
  currency: string;
  data: UsageLine[];
}

interface List<T> {
  data: T[];
}

export interface Period {
  from?: string; // a day
  to?: string; // the last one
}

/** As typed into a form: the server says what is missing or wrong. */
type Typed<Name extends string> = Partial<Record<Name, string>>;
export type TypedLimits = Typed<LimitName>;

function query(values: Record<string, string | undefined>): string {
  const given = Object.entries(values).filter((pair): pair is [string, string] => Boolean(pair[1]));
  return new URLSearchParams(given).toString();
}

async function list<T>(path: string, values: Record<string, string | undefined> = {}): Promise<T[]> {
  return (await get<List<T>>(`${path}?${query(values)}`)).data;
}

export const organisations = () => list<Organisation>('/admin/organisations');
export const addOrganisation = (given: Typed<'name' | 'currency' | 'time_zone'>) =>
  post<unknown>('/admin/organisations', given);

export const keys = (organisation: string) => list<Key>('/admin/keys', { organisation });
export const createKey = (given: TypedLimits & Typed<'organisation' | 'name' | 'scope' | 'expires'>) => post<Key & { secret: string }>('/admin/keys', given);
export const revokeKey = (id: string) => post<unknown>(`/admin/keys/${encodeURIComponent(id)}/revoke`);
export const limitKey = (id: string, limits: TypedLimits) =>
  post<Key>(`/admin/keys/${encodeURIComponent(id)}/limits`, limits);

export const deposits = (organisation: string) => list<Deposit>('/admin/deposits', { organisation });
export const addDeposit = (given: Typed<'organisation' | 'amount' | 'reference'>) =>
  post<{ added: boolean }>('/admin/deposits', given);

export const prices = () => list<Prices>('/admin/prices');
export const setPrices = (given: Typed<keyof Prices>) => post<Prices>('/admin/prices', given);

export const usage = (organisation: string, by: UsageBy, period: Period) =>
  get<Usage>(`/admin/usage?${query({ organisation, by, ...period })}`);
