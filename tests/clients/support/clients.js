// The pinned clients, each major that people use. They lie below build/, not beside the tests.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(process.env.CLIENTS + '/');
const version = (name) =>
  JSON.parse(readFileSync(`${process.env.CLIENTS}/node_modules/${name}/package.json`)).version;

export const openais = ['openai', 'openai-6'].map((name) => {
  const { OpenAI } = require(name);
  return { name: `openai ${version(name)}`, OpenAI };
});
export const anthropics = ['@anthropic-ai/sdk', 'anthropic-0'].map((name) => {
  const { Anthropic } = require(name);
  return { name: `@anthropic-ai/sdk ${version(name)}`, Anthropic };
});

export const openai = ({ OpenAI }, server, options = {}) =>
  new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0, ...options });
export const anthropic = ({ Anthropic }, server, options = {}) =>
  new Anthropic({ baseURL: server.url, apiKey: 'none', maxRetries: 0, ...options });

export async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}
