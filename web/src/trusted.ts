// The page's one policy of Trusted Types: it lets workers be made of the page's own files and nothing else.

interface Policy {
  createScriptURL(url: string): unknown;
}

// Not every browser has it, and TypeScript does not know it.
const factory = (globalThis as { trustedTypes?: { createPolicy(name: string, rules: Policy): Policy } }).trustedTypes;

const policy = factory?.createPolicy('page', {
  createScriptURL(url) {
    if (new URL(url, location.href).origin !== location.origin) throw new TypeError(`not ours: ${url}`);
    return url;
  },
});

export function ownWorker(url: string): Worker {
  return new Worker((policy?.createScriptURL(url) ?? url) as string, { type: 'module' });
}
