// Where the server wants a key: it is exchanged once for a cookie that scripts cannot read.
import { useRef, useState } from 'preact/hooks';
import { login, ServerError } from '../server';
import { Field, FormError, type Failure } from './field';
import { t } from './texts';
import './account.css';

function failureOfLogin(error: unknown): Failure {
  const { wrong, noAnswer } = t.peek().login;
  if (error instanceof ServerError && error.status === 401) return { field: 'key', message: wrong };
  return { field: null, message: (error as Error).message || noAnswer };
}

export function Login(props: { onDone: () => void }) {
  const input = useRef<HTMLInputElement>(null);
  const [failure, setFailure] = useState<Failure | null>(null);
  const [busy, setBusy] = useState(false);

  const signIn = async (event: SubmitEvent) => {
    event.preventDefault();
    const key = input.current!.value.trim();
    if (key === '') {
      setFailure({ field: 'key', message: t.peek().login.empty });
      input.current!.focus();
      return;
    }
    setBusy(true);
    setFailure(null);
    try {
      await login(key);
      input.current!.value = '';
      props.onDone();
    } catch (error) {
      setFailure(failureOfLogin(error));
      input.current?.select();
    } finally {
      setBusy(false);
    }
  };

  const texts = t.value.login;
  return (
    <main class="login">
      <form class="login-card" onSubmit={(event) => void signIn(event)} noValidate>
        <img src="/icon.svg" alt="" width="44" height="44" />
        <h1>Fulmen</h1>
        <Field name="key" label={texts.key} hint={texts.hint} failure={failure}>
          {(attributes) => (
            <input
              {...attributes} ref={input} type="password" autocomplete="current-password" autoFocus spellcheck={false}
              placeholder="sk-fulmen-…"
            />
          )}
        </Field>
        <FormError failure={failure} />
        <button type="submit" class="button primary" disabled={busy}>{busy ? texts.busy : texts.submit}</button>
        <p class="quiet login-kept">{texts.kept}</p>
      </form>
    </main>
  );
}
