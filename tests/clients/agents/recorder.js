// Stands between an agent and the server, passes everything on, and keeps what was asked and what
// it cost.
import http from 'node:http';
import { once } from 'node:events';

export class Recorder {
  exchanges = []; // {method, path, status, request, response}, in the order of their beginning

  static async start(server) {
    const recorder = new Recorder();
    recorder.http = http.createServer((request, response) =>
      recorder.#pass(server, request, response),
    );
    recorder.http.listen(0, '127.0.0.1');
    await once(recorder.http, 'listening');
    recorder.url = `http://127.0.0.1:${recorder.http.address().port}`;
    return recorder;
  }

  #pass(server, request, response) {
    const exchange = { method: request.method, path: request.url, request: '', response: '' };
    this.exchanges.push(exchange);
    const on = http.request(
      `${server.url}${request.url}`,
      {
        method: request.method,
        headers: { ...request.headers, host: new URL(server.url).host },
      },
      (answer) => {
        exchange.status = answer.statusCode;
        response.writeHead(answer.statusCode, answer.headers);
        answer.on('data', (piece) => {
          exchange.response += piece;
        });
        answer.pipe(response);
      },
    );
    on.on('error', () => response.destroy());
    response.on('close', () => on.destroy());
    request.on('data', (piece) => {
      exchange.request += piece;
    });
    request.pipe(on);
  }

  // {prompt, cached} of each answer, from its usage.
  costs() {
    const costs = [];
    for (const { response } of this.exchanges) {
      const objects = response
        .split('\n')
        .filter((line) => /^(data: )?\{/.test(line))
        .map((line) => JSON.parse(line.replace(/^data: /, '')));
      const usages = objects
        .map((object) => object.usage ?? object.message?.usage ?? object.response?.usage)
        .filter((usage) => usage);
      if (usages.length === 0) continue;
      const usage = usages.at(-1);
      const first = usages[0];
      if (usage.prompt_tokens !== undefined)
        costs.push({
          prompt: usage.prompt_tokens,
          cached: usage.prompt_tokens_details.cached_tokens,
        });
      else if (first.cache_read_input_tokens !== undefined) {
        costs.push({
          prompt: first.input_tokens + first.cache_read_input_tokens,
          cached: first.cache_read_input_tokens,
        });
      } else
        costs.push({
          prompt: usage.input_tokens,
          cached: usage.input_tokens_details.cached_tokens,
        });
    }
    return costs;
  }

  stop() {
    this.http.closeAllConnections();
    this.http.close();
  }
}
