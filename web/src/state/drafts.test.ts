import { beforeEach, expect, test, vi } from 'vitest';

const store = new Map<string, string>();
vi.stubGlobal('localStorage', {
  getItem: (name: string) => store.get(name) ?? null,
  setItem: (name: string, value: string) => store.set(name, value),
  removeItem: (name: string) => store.delete(name),
});

beforeEach(() => {
  store.clear();
  vi.resetModules();
});

const open = () => import('./drafts');
const draft = { text: 'half a thought', files: [{ name: 'a.txt', text: 'x' }], images: [] };

test('a draft survives a reload, each chat has its own', async () => {
  const before = await open();
  before.setDraft('one', draft);
  before.setDraft(null, { ...draft, text: 'new' });
  before.saveDrafts();
  vi.resetModules();
  const after = await open();
  expect(after.draftOf('one').value).toEqual(draft);
  expect(after.draftOf(null).value.text).toBe('new');
  expect(after.draftOf('two').value.text).toBe('');
});

test('an emptied draft leaves nothing behind', async () => {
  const drafts = await open();
  drafts.setDraft('one', draft);
  drafts.saveDrafts();
  drafts.setDraft('one', { text: '', files: [], images: [] });
  drafts.saveDrafts();
  expect(store.size).toBe(0);
});

test('what was not answered is found after a reload, and never takes the place of what is typed', async () => {
  const before = await open();
  before.keepUnsent('one', draft);
  before.setDraft('two', { ...draft, text: 'typed' });
  before.keepUnsent('two', draft);
  before.saveDrafts();
  vi.resetModules();
  const after = await open();
  expect(after.draftOf('one').value.text).toBe('half a thought');
  expect(after.draftOf('two').value.text).toBe('typed');
});

test('what cannot be read is an empty draft', async () => {
  store.set('fulmen.draft.one', '{');
  expect((await open()).draftOf('one').value.text).toBe('');
});
