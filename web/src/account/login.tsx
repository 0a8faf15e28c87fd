// Where the server wants a key: it is exchanged once for a cookie that scripts cannot read.
import { useEffect, useRef, useState } from 'preact/hooks';
import { sentenceOf } from '../errors';
import { login, ServerError } from '../server';
import { Field, FormError, type Failure } from './field';
import { t } from './texts';
import './account.css';

function failureOfLogin(error: unknown): Failure {
  if (error instanceof ServerError && error.status === 401) return { field: 'key', message: t.value.login.wrong };
  return { field: null, message: sentenceOf(error) };
}

export function Login(props: { onDone: () => void }) {
  const input = useRef<HTMLInputElement>(null);
  const [failure, setFailure] = useState<Failure | null>(null);
  const [busy, setBusy] = useState(false);

  useEffect(() => input.current?.focus(), []);

  const logIn = async (event: SubmitEvent) => {
    event.preventDefault();
    const key = input.current!.value.trim();
    if (key === '') {
      setFailure({ field: 'key', message: t.value.login.empty });
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
      <form class="login-card" onSubmit={(event) => void logIn(event)} noValidate>
        <img src="/icon.svg" alt="" width="44" height="44" />
        <h1>{texts.title}</h1>
        <Field name="key" label={texts.key} hint={texts.hint} failure={failure}>
          {(attributes) => (
            <input
              {...attributes} ref={input} type="password" autocomplete="current-password" spellcheck={false}
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
