// ‹ 2/3 ›: goes from version to version of a question, or of an answer to the same question.
import { Icon } from '../icons';
import { chatId, showBranch } from '../state/chat';
import { summaries } from '../state/chats';
import { versionsOf, type Step, type Turn } from '../state/tree';
import { t } from '../texts';

// Through a version lead all branches that have one of its turns: the one used last is gone to.
function goTo(turns: Turn[]) {
  const names = new Set(turns.flatMap((turn) => turn.sessions));
  const name = summaries.peek().find((session) => names.has(session.name))?.name ?? [...names].at(-1);
  if (name) showBranch(chatId.peek()!, name);
}

export function Versions({ step, of }: { step: Step; of: 'question' | 'answer' }) {
  const { versions, at } = versionsOf(step, of);
  if (versions.length < 2) return null;
  const button = (to: number, icon: 'left' | 'right', label: string) => (
    <button
      type="button" class="icon-button" aria-label={label} title={label} disabled={!versions[to]}
      onClick={() => goTo(versions[to]!)}
    >
      <Icon name={icon} />
    </button>
  );
  return (
    <span class="versions">
      {button(at - 1, 'left', t.value.previousVersion)}
      <span title={t.value.versionOf(at + 1, versions.length)}>{at + 1}/{versions.length}</span>
      {button(at + 1, 'right', t.value.nextVersion)}
    </span>
  );
}
