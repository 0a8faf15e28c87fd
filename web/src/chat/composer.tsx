// The box in which messages are written.
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { ErrorLine, isFinal } from '../errors';
import { number } from '../format';
import { Icon } from '../icons';
import { hrefOf } from '../route';
import { isRunning } from '../state/answering';
import { chatId, shownAnswering } from '../state/chat';
import { draftOf, setDraft } from '../state/drafts';
import { isEmpty } from '../state/message';
import { asksNothing, models } from '../state/me';
import { send, sendError, sending, stop } from '../state/turns';
import { language, t } from '../texts';
import { attach, attachNote, takePaste } from './attach';
import { Chips } from './chips';
import { Gauge } from './gauge';
import { CompositionGuard } from './ime';
import { enterSends, fit } from './typing';

export const boxId = 'message';

export function Composer() {
  const chat = chatId.value;
  const draft = draftOf(chat).value;
  const box = useRef<HTMLTextAreaElement>(null);
  const answering = shownAnswering.value;
  const running = answering !== null && isRunning(answering.phase.value);
  const ready = !isEmpty(draft) && !running && !sending.value && models.value.length > 0 && !asksNothing.value;

  useLayoutEffect(() => fit(box.current!), [draft.text, chat]);
  useEffect(() => {
    // On a phone this would bring up the keyboard over what is to be read.
    if (matchMedia('(hover: hover)').matches) box.current!.focus({ preventScroll: true });
  }, [chat]);

  return (
    <form class="composer" onSubmit={(event) => { event.preventDefault(); if (ready) void send(); }}>
      {asksNothing.value && <p class="attach-note" role="status">{t.value.adminAsksNot} <a class="link" href={hrefOf({ view: 'keys' })}>{t.value.makeOwnKey}</a></p>}
      <SendProblem />
      <Note />
      <div class="box">
        <Chips chat={chat} draft={draft} />
        <Typing box={box} ready={ready} />
        <div class="box-row">
          <AttachButton />
          <Gauge />
          {running ? (
            <button type="button" class="round stop" onClick={() => void stop()} aria-label={t.value.stop} title={`${t.value.stop} (Esc)`}>
              <Icon name="stop" />
            </button>
          ) : (
            <button type="submit" class="round" disabled={!ready} aria-label={t.value.send} title={t.value.send}><Icon name="send" /></button>
          )}
        </div>
      </div>
    </form>
  );
}

function Typing({ box, ready }: { box: { current: HTMLTextAreaElement | null }; ready: boolean }) {
  const chat = chatId.value;
  const draft = draftOf(chat).value;
  const guard = useRef(new CompositionGuard());
  const onKeyDown = (event: KeyboardEvent) => {
    if (guard.current.owns(event) || !enterSends(event)) return;
    event.preventDefault();
    if (ready) void send();
  };
  const onPaste = (event: ClipboardEvent) => {
    if (event.clipboardData && takePaste(chat, event.clipboardData, box.current!, (count) => number(count, language.value))) event.preventDefault();
  };
  return (
    <textarea
      id={boxId} ref={box} rows={1} value={draft.text} placeholder={t.value.placeholder} aria-label={t.value.message}
      enterkeyhint="enter" autocomplete="off"
      onInput={(event) => setDraft(chat, { ...draftOf(chat).peek(), text: event.currentTarget.value })}
      onKeyDown={onKeyDown} onPaste={onPaste}
      onCompositionStart={() => guard.current.start()} onCompositionEnd={(event) => guard.current.end(event.timeStamp)}
    />
  );
}

function AttachButton() {
  const input = useRef<HTMLInputElement>(null);
  const take = () => {
    const files = [...(input.current!.files ?? [])];
    input.current!.value = '';
    void attach(chatId.peek(), files);
  };
  return (
    <>
      <button type="button" class="icon-button" onClick={() => input.current!.click()} aria-label={t.value.attach} title={t.value.attach}>
        <Icon name="attach" />
      </button>
      <input type="file" ref={input} hidden multiple onChange={take} />
    </>
  );
}

function SendProblem() {
  const problem = sendError.value;
  if (!problem || problem.chat !== chatId.value) return null;
  return (
    <ErrorLine error={problem.error}>
      {!isFinal(problem.error) && <button type="button" class="button" onClick={() => void send()}>{t.value.retry}</button>}
    </ErrorLine>
  );
}

function Note() {
  const note = attachNote.value;
  if (!note) return null;
  return (
    <p class="attach-note" role="status">
      {note.text}
      {note.undo && <button type="button" class="link" onClick={note.undo}>{t.value.undo}</button>}
      <button type="button" class="icon-button" onClick={() => { attachNote.value = null; }} aria-label={t.value.close}><Icon name="close" /></button>
    </p>
  );
}
