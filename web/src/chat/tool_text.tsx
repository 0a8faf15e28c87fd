// What was given to a tool or came from it, folded away.
import { t } from '../texts';

export function ToolText({ name, text }: { name: string; text: string }) {
  return (
    <details class="sent-file tool">
      <summary>{t.value.tool}{name && `: ${name}`}</summary>
      <pre tabIndex={0}>{text}</pre>
    </details>
  );
}
