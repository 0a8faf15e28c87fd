// A form that asks the server for something, and says what was wrong with it.
import { useState } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import { failureOf, FormError, typed, type Failure } from './field';
import { t } from './texts';

interface FormProps {
  submit: string;
  danger?: boolean;
  fields: readonly string[];
  send: (values: Record<string, string>) => Promise<void>;
  onCancel: () => void;
  children: (failure: Failure | null) => ComponentChildren;
}

export function Form({ submit, danger = false, fields, send, onCancel, children }: FormProps) {
  const [failure, setFailure] = useState<Failure | null>(null);
  const [busy, setBusy] = useState(false);
  const onSubmit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    setBusy(true);
    try {
      await send(typed(form));
    } catch (error) {
      const found = failureOf(error, fields);
      setFailure(found);
      if (found.field) (form.elements.namedItem(found.field) as HTMLElement | null)?.focus();
    } finally {
      setBusy(false);
    }
  };
  return (
    <form class="form" onSubmit={(event) => void onSubmit(event)} noValidate>
      {children(failure)}
      <FormError failure={failure} />
      <p class="dialog-buttons">
        <button type="button" class="button quiet" onClick={onCancel}>{t.value.cancel}</button>
        <button type="submit" class={danger ? 'button danger' : 'button primary'} disabled={busy}>{submit}</button>
      </p>
    </form>
  );
}
