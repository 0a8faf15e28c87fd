// A server with a ledger: its administrator's key, and one for answers.
import { join } from 'node:path';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { Server } from '../../clients/support/server.js';

export class Accounts {
  static async start({ args = [], script } = {}) {
    const accounts = new Accounts();
    accounts.folder = mkdtempSync(join(tmpdir(), 'fulmen-page-'));
    accounts.server = await Server.start({
      args: ['--accounts', join(accounts.folder, 'ledger.db'), ...args],
      script,
    });
    accounts.admin = accounts.server.said.join('\n').match(/^ {2}(\S{40,})$/m)[1];
    await accounts.post('/admin/deposits', { amount: '100', reference: 'test' });
    accounts.key = await accounts.post('/admin/keys', { name: 'team' });
    return accounts;
  }

  // Opens the page, and shows it a key.
  async signIn(page, secret) {
    await page.goto(this.server.url);
    await page.getByLabel('Key', { exact: true }).fill(secret);
    await page.getByRole('button', { name: 'Log in' }).click();
  }

  async post(path, body) {
    const response = await fetch(this.server.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${this.admin}` },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  async metrics() {
    const response = await fetch(`${this.server.url}/metrics`, {
      headers: { authorization: `Bearer ${this.admin}` },
    });
    return response.text();
  }

  async stop() {
    await this.server.stop();
    rmSync(this.folder, { recursive: true });
  }
}
