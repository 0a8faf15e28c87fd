import { defineConfig } from 'vitest/config';

// The server that `npm run dev` passes requests on to.
const server = 'http://127.0.0.1:8080';

export default defineConfig({
  // JSX is compiled for Preact, which tsconfig.json says.
  build: {
    target: 'es2022',
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    // The page's policy allows no data: scripts and styles, and the server sends files of any size well.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 300,
    rolldownOptions: {
      output: {
        // What the first view needs, in few files; the other views share it.
        codeSplitting: { groups: [{ name: 'core', test: /node_modules\/@?preact|src\/(state|texts|side|chat\/(?!chat_settings)|(?!settings_view)[a-z_]+\.tsx?$)/ }] },
      },
    },
  },
  server: {
    proxy: Object.fromEntries(
      ['/v1', '/props', '/metrics', '/admin', '/health', '/openapi.json'].map((path) => [path, server]),
    ),
  },
  test: { environment: 'node', include: ['src/**/*.test.{ts,tsx}'] },
});
