// What the page weighs as sent: each built file in brotli, and the sum, which has a limit.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync } from 'node:zlib';

const limit = 260_000;
const dist = new URL('../dist', import.meta.url).pathname;

let sum = 0;
for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const path = join(entry.parentPath, entry.name);
  const size = brotliCompressSync(readFileSync(path)).length;
  sum += size;
  console.log(`${String(size).padStart(8)} ${path.slice(dist.length + 1)}`);
}
console.log(`${String(sum).padStart(8)} of ${limit} bytes in brotli`);
if (sum >= limit) process.exit(1);
