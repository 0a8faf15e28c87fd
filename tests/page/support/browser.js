// A browser for a test: Debian's Chromium through playwright-core, and what it must never report.
import { createRequire } from 'node:module';

const require = createRequire(process.env.CLIENTS + '/');
export const { chromium } = require('playwright-core');
export const { AxeBuilder } = require('@axe-core/playwright');

export const sizes = {
  desktop: { width: 1280, height: 800 },
  tablet: { width: 820, height: 1180 },
  phone: { width: 390, height: 844 },
};

export class Browser {
  static async start() {
    const browser = new Browser();
    browser.chromium = await chromium.launch({
      executablePath: process.env.CHROMIUM,
      // Tests run as root in containers, where Chromium's own sandbox cannot start.
      args: ['--no-sandbox', '--disable-dev-shm-usage', '--force-color-profile=srgb'],
    });
    return browser;
  }

  // A page with storage of its own. What it logs as an error, and what its policy refuses, is in
  // `page.faults`.
  async page(options = {}) {
    const context = await this.chromium.newContext({
      viewport: sizes.desktop,
      locale: 'en',
      reducedMotion: 'reduce',
      ...options,
    });
    const page = await context.newPage();
    page.faults = [];
    page.on('pageerror', (error) => page.faults.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') page.faults.push(message.text());
    });
    page.setDefaultTimeout(10_000);
    return page;
  }

  stop() {
    return this.chromium.close();
  }
}
