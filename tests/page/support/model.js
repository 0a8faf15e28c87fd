// The embedded model, which is told to read so many tokens instead of its 16,384.
import { mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// Returns a new folder, for `fulmen serve -m fulmen-nano=FOLDER`.
export const modelOfContext = (tokens) => {
  const from = join(import.meta.dirname, '../../../models/fulmen-nano');
  const folder = mkdtempSync(join(tmpdir(), 'fulmen-context-'));
  for (const name of ['model.safetensors', 'tokenizer.json', 'tokenizer_config.json'])
    symlinkSync(join(from, name), join(folder, name));
  const config = JSON.parse(readFileSync(join(from, 'config.json')));
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, max_position_embeddings: tokens }));
  return folder;
};
