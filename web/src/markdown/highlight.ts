// Colours code in a worker, so that the page never waits for it.
import { ownWorker } from '../trusted';
import workerUrl from './highlight.worker?worker&url';

/** A piece of code and the class that colours it, "" for none. */
export type Piece = [kind: string, text: string];

export interface Request { id: number; code: string; language: string }
export interface Reply { id: number; lines: Piece[][] | null }

const longest = 300_000;

let worker: Worker | null = null;
let next = 0;
const waiting = new Map<number, (lines: Piece[][] | null) => void>();

function started(): Worker {
  if (worker) return worker;
  worker = ownWorker(workerUrl);
  worker.onmessage = ({ data }: MessageEvent<Reply>) => {
    waiting.get(data.id)?.(data.lines);
    waiting.delete(data.id);
  };
  worker.onerror = () => {
    for (const give of waiting.values()) give(null);
    waiting.clear();
  };
  return worker;
}

/** The lines of some code in pieces; null where its language is not known. */
export function highlight(code: string, language: string): Promise<Piece[][] | null> {
  if (language === '' || code.length > longest) return Promise.resolve(null);
  return new Promise((give) => {
    const id = next++;
    waiting.set(id, give);
    started().postMessage({ id, code, language } satisfies Request);
  });
}
