// Starts `fulmen serve` for a test, and reads what it counts.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export class Server {
  #headers = {};

  // `script`: [{when?, answer}], answers in place of the model's. `args` are those of fulmen serve.
  static async start({ args = [], script, keys, threads = 1 } = {}) {
    const server = new Server();
    if (keys) server.#headers = { authorization: `Bearer ${keys[0]}` };
    server.folder = mkdtempSync(join(tmpdir(), 'fulmen-clients-'));
    const all = [
      'serve',
      '--port',
      '0',
      '--threads',
      String(threads),
      '--sessions',
      join(server.folder, 'sessions.db'),
      ...args,
    ];
    if (script)
      all.push(
        '--script',
        server.#write(
          'script.jsonl',
          script.map((line) => JSON.stringify(line)),
        ),
      );
    if (keys) all.push('--api-key-file', server.#write('keys', keys));
    server.process = spawn(process.env.FULMEN, all, { stdio: ['ignore', 'ignore', 'pipe'] });
    server.said = [];
    const lines = createInterface({ input: server.process.stderr });
    server.name = await new Promise((resolve, reject) => {
      lines.on('line', (line) => {
        server.said.push(line);
        const greeting = /^(\S+) answers at (\S+)$/.exec(line);
        if (!greeting) return;
        server.url = greeting[2];
        resolve(greeting[1]);
      });
      lines.on('close', () =>
        reject(new Error(`fulmen ${all.join(' ')}\n${server.said.join('\n')}`)),
      );
    });
    return server;
  }

  #write(name, lines) {
    const path = join(this.folder, name);
    writeFileSync(path, lines.join('\n') + '\n');
    return path;
  }

  // Sum over the labels of a metric.
  async metric(name) {
    const response = await fetch(`${this.url}/metrics`, { headers: this.#headers });
    if (!response.ok) throw new Error(`/metrics: ${response.status}`);
    const text = await response.text();
    let sum = 0;
    for (const line of text.split('\n')) {
      if (line.startsWith(`${name}{`) || line.startsWith(`${name} `))
        sum += Number(line.split(' ').at(-1));
    }
    return sum;
  }

  // Until the metric is `value`, half a minute at most.
  async until(name, value) {
    let found;
    for (let tries = 0; tries < 1500; ++tries) {
      found = await this.metric(name);
      if (found === value) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`${name} is ${found}, not ${value}`);
  }

  async post(path, body, headers = {}) {
    const response = await fetch(this.url + path, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...this.#headers, ...headers },
    });
    return response.json();
  }

  // The server has to end by itself, and well.
  async stop() {
    const ended = once(this.process, 'exit');
    this.process.kill('SIGTERM');
    const [status, signal] = await ended;
    rmSync(this.folder, { recursive: true });
    if (status !== 0)
      throw new Error(`fulmen ended with ${status ?? signal}\n${this.said.join('\n')}`);
  }
}
