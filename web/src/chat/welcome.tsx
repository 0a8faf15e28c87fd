// A chat that has not begun: three things to begin with.
import { Mark } from '../icons';
import { draftOf, setDraft } from '../state/drafts';
import { t } from '../texts';
import { boxId } from './composer';

export function Welcome() {
  const take = (text: string) => {
    setDraft(null, { ...draftOf(null).peek(), text });
    document.getElementById(boxId)?.focus();
  };
  return (
    <div class="welcome">
      <Mark />
      <h2>{t.value.greeting}</h2>
      <ul>
        {t.value.samples.map(({ title, text }) => (
          <li key={title}>
            <button type="button" onClick={() => take(text)}><strong>{title}</strong><span>{text}</span></button>
          </li>
        ))}
      </ul>
    </div>
  );
}
