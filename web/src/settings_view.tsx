// The settings of the page: colours, language, and the chats as files.
import { useRef, useState } from 'preact/hooks';
import { ErrorLine } from './errors';
import { Icon } from './icons';
import { logOut, me } from './state/me';
import { theme, type Theme } from './state/theme';
import { chats } from './state/chats';
import { exportChats, importChats } from './state/transfer';
import { ShortcutList } from './shortcuts';
import { languageChoice, t, type Language } from './texts';

export function SettingsView() {
  const texts = t.value;
  return (
    <div class="page-view settings-view">
      <h1>{texts.settings}</h1>
      <section class="card">
        <h2>{texts.appearance}</h2>
        <Choice label={texts.theme} value={theme.value} options={texts.themes} onChange={(value) => { theme.value = value as Theme; }} />
        <label class="choice">
          <span class="choice-name">{texts.language}</span>
          <select value={languageChoice.value} onChange={(event) => { languageChoice.value = event.currentTarget.value as Language | 'auto'; }}>
            <option value="auto">{texts.automatic}</option>
            <option value="en">English</option>
            <option value="zh">中文</option>
          </select>
        </label>
      </section>
      <Transfer />
      <section class="card keyboard">
        <h2>{texts.shortcuts}</h2>
        <ShortcutList />
      </section>
      <p><a href="/licenses.txt">{texts.licenses}</a></p>
      {me.value?.needs_key && <p><button type="button" class="button" onClick={() => void logOut()}><Icon name="logout" />{texts.logOut}</button></p>}
    </div>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  options: Record<string, string>;
  onChange: (value: string) => void;
}

function Choice({ label, value, options, onChange }: ChoiceProps) {
  return (
    <fieldset class="choice">
      <legend>{label}</legend>
      {Object.entries(options).map(([option, text]) => (
        <label key={option}>
          <input type="radio" name={label} checked={value === option} onChange={() => onChange(option)} />
          <span>{text}</span>
        </label>
      ))}
    </fieldset>
  );
}

function Transfer() {
  const input = useRef<HTMLInputElement>(null);
  const [said, setSaid] = useState('');
  const [error, setError] = useState<unknown>(null);
  const attempt = async (work: () => Promise<string>) => {
    setError(null);
    setSaid('');
    try {
      setSaid(await work());
    } catch (problem) {
      setError(problem);
    }
  };
  const take = (file: File | undefined) => {
    input.current!.value = '';
    if (!file) return;
    void attempt(async () => {
      const count = await importChats(file);
      return count === null ? t.peek().notExport : t.peek().imported(count);
    });
  };
  const saveAll = async () => {
    await exportChats();
    return '';
  };
  return (
    <section class="card">
      <h2>{t.value.yourChats}</h2>
      <p class="quiet">{t.value.chatsHint}</p>
      <p class="buttons">
        <button type="button" class="button" disabled={chats.value.length === 0} onClick={() => void attempt(saveAll)}>
          <Icon name="download" />{t.value.exportAll}
        </button>
        <button type="button" class="button" onClick={() => input.current!.click()}><Icon name="upload" />{t.value.import}</button>
        <input type="file" ref={input} accept=".json,application/json" hidden onChange={(event) => take(event.currentTarget.files?.[0])} />
      </p>
      <p role="status" class="said">{said}</p>
      {error !== null && <ErrorLine error={error} />}
    </section>
  );
}
