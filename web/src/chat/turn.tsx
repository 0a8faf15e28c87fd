// A turn: what the user said, and what was answered.
import { Component } from 'preact';
import { answerings } from '../state/answering';
import { questionOf, type Step } from '../state/tree';
import { AnswerView } from './answer';
import { Question } from './question';

interface Props {
  step: Step;
  /** Its place in the chat, from 0. */
  index: number;
}

// A chat of a thousand turns is looked through whenever one changes; only that one is drawn again.
export class TurnView extends Component<Props> {
  override shouldComponentUpdate({ step: { turn, siblings }, index }: Props) {
    const before = this.props.step;
    return index !== this.props.index || turn.key !== before.turn.key || turn.pending !== before.turn.pending
      || turn.messages.length !== before.turn.messages.length || siblings.length !== before.siblings.length
      || siblings.indexOf(turn) !== before.siblings.indexOf(before.turn);
  }

  override render({ step, index }: Props) {
    const { turn } = step;
    const answering = turn.pending ? answerings.peek().get(turn.pending) ?? null : null;
    return (
      <>
        {questionOf(turn).map((message, at) => <Question message={message} step={step} index={index} key={at} />)}
        <AnswerView step={step} answering={answering} index={index} />
      </>
    );
  }
}
