// ‹ 2/3 ›: goes from branch to branch where a turn has others in its place.
import { Icon } from '../icons';
import { summaries } from '../state/chats';
import { chatId, showBranch } from '../state/chat';
import type { Step, Turn } from '../state/tree';
import { t } from '../texts';

// Through a turn lead all branches that have it: the one used last is gone to.
function goTo(turn: Turn) {
  const name = summaries.peek().find((session) => turn.sessions.includes(session.name))?.name ?? turn.sessions.at(-1);
  if (name) showBranch(chatId.peek()!, name);
}

export function Branches({ step: { turn, siblings } }: { step: Step }) {
  if (siblings.length < 2) return null;
  const at = siblings.indexOf(turn);
  const button = (to: number, icon: 'left' | 'right', label: string) => (
    <button
      type="button" class="icon-button" aria-label={label} title={label} disabled={!siblings[to]}
      onClick={() => goTo(siblings[to]!)}
    >
      <Icon name={icon} />
    </button>
  );
  return (
    <span class="branches">
      {button(at - 1, 'left', t.value.previousBranch)}
      <span title={t.value.branchOf(at + 1, siblings.length)}>{at + 1}/{siblings.length}</span>
      {button(at + 1, 'right', t.value.nextBranch)}
    </span>
  );
}
