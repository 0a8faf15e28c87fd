// The one module that speaks to the server.
import { EventReader } from './sse';
import type {
  Chunk, Completion, Fork, Forked, Me, NewSession, Props, Session, SessionChange, SessionSummary, SignedIn,
} from './types';

/** A request that failed: `message` is a sentence for people, `status` 0 where no answer came, `retryAfter` in seconds. */
export class ServerError extends Error {
  constructor(message: string, readonly status: number, readonly code?: string, readonly retryAfter?: number) {
    super(message);
  }
}

type Method = 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';

interface Options {
  /** What JSON is made of, or a string that is JSON. */
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

let onLoggedOut = () => {};

/** Called whenever a request is refused for want of a key. */
export function whenLoggedOut(then: () => void) {
  onLoggedOut = then;
}

async function ask(method: Method, path: string, options: Options = {}): Promise<Response> {
  const init: RequestInit = { method, credentials: 'same-origin', headers: { ...options.headers } };
  if (options.signal) init.signal = options.signal;
  if (options.body !== undefined) {
    init.body = typeof options.body === 'string' ? options.body : JSON.stringify(options.body);
    init.headers = { ...init.headers, 'Content-Type': 'application/json' };
  }
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ServerError('', 0);
  }
  if (!response.ok) throw await errorOf(response, path);
  return response;
}

async function errorOf(response: Response, path: string): Promise<ServerError> {
  const body = await response.json().catch(() => null);
  if (response.status === 401 && path !== '/v1/login') onLoggedOut();
  const wait = Number(response.headers.get('Retry-After') ?? NaN);
  return new ServerError(body?.error?.message ?? '', response.status, body?.error?.code, wait > 0 ? wait : undefined);
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await ask('GET', path, { signal })).json();
}

export async function getText(path: string, signal?: AbortSignal): Promise<string> {
  return (await ask('GET', path, { signal })).text();
}

export async function post<T>(path: string, body: unknown = {}): Promise<T> {
  return (await ask('POST', path, { body })).json();
}

// Who asks

export const me = () => get<Me>('/v1/me');
/** Of who is not signed in it is null where that takes a key. */
export const signedIn = () => get<SignedIn>('/v1/login');
export const login = (key: string) => post<Me>('/v1/login', { key });
export const logout = () => ask('POST', '/v1/logout', { body: {} });
export const props = () => get<Props>('/props');

// Sessions

const sessionPath = (name: string) => `/v1/sessions/${encodeURIComponent(name)}`;

export async function sessions(query: { search?: string; limit?: number; after?: string } = {}, signal?: AbortSignal) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== '');
  const parameters = new URLSearchParams(given.map(([key, value]) => [key, String(value)]));
  return (await get<{ data: SessionSummary[] }>(`/v1/sessions?${parameters}`, signal)).data;
}

export const session = (name: string, signal?: AbortSignal) => get<Session>(sessionPath(name), signal);
export const makeSession = (fresh: NewSession) => post<Session>('/v1/sessions', fresh);
export const forkSession = (name: string, fork: Fork) => post<Forked>(`${sessionPath(name)}/fork`, fork);
export const removeSession = (name: string) => ask('DELETE', sessionPath(name));
export const exportSession = (name: string) => getText(`${sessionPath(name)}/export`);

export const changeSession = (name: string, change: SessionChange) =>
  ask('PATCH', sessionPath(name), { body: change });

export const importSession = (name: string, file: string) => ask('PUT', sessionPath(name), { body: file });

// Answers

/** Chunks of an answer, some at a time; it ends when the answer has. */
export type Answering = AsyncGenerator<Chunk[], void, void>;

/** Asks for one turn. The answer goes on under `key` when this reader goes away. */
export async function complete(completion: Completion, key: string, signal: AbortSignal): Promise<Answering> {
  const body = { ...completion, stream: true, stream_options: { include_usage: true }, return_progress: true };
  const headers = { 'Idempotency-Key': key };
  return chunksOf(await ask('POST', '/v1/chat/completions', { body, headers, signal }));
}

/** Reads along an answer from its beginning. */
export async function readAlong(key: string, signal: AbortSignal): Promise<Answering> {
  return chunksOf(await ask('GET', `/v1/idempotency/${encodeURIComponent(key)}`, { signal }));
}

export const cancel = (key: string) => ask('POST', `/v1/idempotency/${encodeURIComponent(key)}/cancel`);

// More events than this are handed on in parts, so that reading an old answer does not hold up the page.
const eventsAtOnce = 256;

async function* chunksOf(response: Response): Answering {
  const stream = response.body!.getReader();
  const events = new EventReader();
  try {
    for (;;) {
      const { done, value } = await read(stream);
      if (done) throw new ServerError('', 0);
      const data = events.push(value);
      for (let from = 0; from < data.length; from += eventsAtOnce) {
        const some = data.slice(from, from + eventsAtOnce);
        const end = some.indexOf('[DONE]');
        const chunks = (end < 0 ? some : some.slice(0, end)).map(parseChunk);
        if (chunks.length > 0) yield chunks;
        if (end >= 0) return;
      }
    }
  } finally {
    stream.cancel().catch(() => {});
  }
}

async function read(stream: ReadableStreamDefaultReader<Uint8Array>) {
  try {
    return await stream.read();
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new ServerError('', 0);
  }
}

function parseChunk(data: string): Chunk {
  const chunk: Chunk = JSON.parse(data);
  if (chunk.error) throw new ServerError(chunk.error.message, 200);
  return chunk;
}
