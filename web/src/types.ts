// What goes over the wire between the page and the server, as the server's schemas have it.
import type { components } from './api';

type Schemas = components['schemas'];

type Details = 'prompt_tokens_details' | 'completion_tokens_details';
export type Usage = Omit<Schemas['Usage'], Details> & Partial<Pick<Schemas['Usage'], Details>>;
export type Timings = Schemas['Timings'];
/** Put together from chunks, some of which may be missing, or from a session, whose file others may have written. */
export type Answer = Omit<Schemas['Answer'], 'finish_reason' | 'usage' | 'timings'> & {
  finish_reason: string;
  usage: Usage;
  timings?: Timings;
};
export type Part = Schemas['Part'];
export type ToolCall = Schemas['ToolCall'];
export type Message = Schemas['Message'];

export type UnderWay = Schemas['UnderWay'];
export type SessionSummary = Schemas['SessionSummary'];
export type SessionTurn = Omit<Schemas['SessionTurn'], 'answer'> & { answer: Answer | null };
export type Session = Omit<Schemas['Session'], 'turns'> & { turns: SessionTurn[] };
/** What summaries have, too. */
export type SessionHead = Omit<Session, 'system' | 'messages' | 'turns'>;
export type NewSession = Schemas['NewSession'];
export type SessionChange = Schemas['SessionChange'];
export type Fork = Schemas['Fork'];
export type Forked = Schemas['SessionForked'];

type ChatRequest = Schemas['ChatRequest'];
/** How the next token is chosen; what is left out is the model's default. */
export type Sampling = Pick<
  ChatRequest,
  'temperature' | 'top_p' | 'top_k' | 'min_p' | 'repetition_penalty' | 'max_tokens'
>;
export type Completion = Sampling & Required<Pick<ChatRequest, 'model' | 'messages'>> & Pick<ChatRequest, 'session'>;
export type PromptProgress = Schemas['PromptProgress'];
/** The data of an event: a chunk, or an error. */
export type Chunk = Partial<Schemas['ChatChunk'] & Schemas['Error']>;

export type ModelProps = Schemas['ModelProps'];
export type Props = Schemas['Props'];
export type Me = Schemas['Me'];
export type SignedIn = Schemas['SignedIn'];
