// Writes the licenses of all packages that the page is made with beside it.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const root = new URL('..', import.meta.url);
const { packages } = JSON.parse(readFileSync(new URL('package-lock.json', root), 'utf8'));

const texts = Object.entries(packages)
  .filter(([path, { dev, optional }]) => path !== '' && !dev && !optional)
  .map(([path, { version, license }]) => {
    const folder = new URL(`${path}/`, root);
    const file = readdirSync(folder).find((name) => /^licen[sc]e/i.test(name));
    if (!file) throw new Error(`${path} has no license`);
    const text = readFileSync(new URL(file, folder), 'utf8').replaceAll('\r', '').trim();
    return `${path.replace(/^.*node_modules\//, '')} ${version} (${license})\n\n${text}\n`;
  });
const head = 'The page of Fulmen is made with these packages.\n';
writeFileSync(new URL('dist/licenses.txt', root), [head, ...texts].join(`\n${'-'.repeat(80)}\n\n`));
