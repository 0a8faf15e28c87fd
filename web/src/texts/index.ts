// The page's language and its texts.
import { computed, effect, signal, type ReadonlySignal } from '@preact/signals';
import { kept } from '../state/kept';
import { en } from './en';
import { zh } from './zh';

export type Language = 'en' | 'zh';
export type Texts = typeof en;

/** What the user chose; "auto" goes by the browser. */
export const languageChoice = signal<Language | 'auto'>(kept.get('language', ['en', 'zh', 'auto'], 'auto'));

export const language = computed<Language>(() => {
  if (languageChoice.value !== 'auto') return languageChoice.value;
  const first = navigator.languages.find((tag) => /^(en|zh)\b/i.test(tag)) ?? 'en';
  return /^zh/i.test(first) ? 'zh' : 'en';
});

/** The texts of one area in the page's language: `const t = textsOf({ en, zh })`, then `t.value.title`. */
export function textsOf<T>(texts: { en: T; zh: T }): ReadonlySignal<T> {
  return computed(() => texts[language.value]);
}

export const t = textsOf<Texts>({ en, zh });

effect(() => {
  kept.set('language', languageChoice.value);
  if (typeof document !== 'undefined') document.documentElement.lang = language.value === 'zh' ? 'zh-CN' : 'en';
});
