// Input methods use Enter to choose a word; such an Enter must not send.

// Some browsers end the composition before they tell of the key that ended it.
const graceMs = 30;

export class CompositionGuard {
  private composing = false;
  private ended = -Infinity;

  start() {
    this.composing = true;
  }

  end(time: number) {
    this.composing = false;
    this.ended = time;
  }

  /** Whether this key press belongs to the input method. */
  owns(event: { isComposing: boolean; keyCode: number; timeStamp: number }): boolean {
    return this.composing || event.isComposing || event.keyCode === 229 || event.timeStamp - this.ended < graceMs;
  }
}
