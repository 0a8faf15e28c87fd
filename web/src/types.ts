// What goes over the wire between the page and the server.

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details?: { cached_tokens?: number; image_tokens?: number };
  completion_tokens_details?: { reasoning_tokens?: number };
  /** A decimal string, so that no digit is lost. */
  cost?: string;
  currency?: string;
}

export interface Timings {
  cache_n: number;
  prompt_n: number;
  queue_ms: number;
  prompt_ms: number;
  predicted_n: number;
  predicted_ms: number;
}

export interface Answer {
  id: string;
  created: number;
  model: string;
  finish_reason: string;
  usage: Usage;
  timings?: Timings;
}

export type Part =
  | { type: 'text'; text: string }
  | { type: 'image_url'; image_url: { url: string } };

export interface ToolCall {
  id: string;
  type: 'function';
  function: { name: string; arguments: string };
}

export interface Message {
  role: 'system' | 'user' | 'assistant' | 'tool';
  content: string | Part[] | null;
  reasoning_content?: string | null;
  tool_calls?: ToolCall[];
  name?: string;
}

/** The turn of a session that is being answered now. */
export interface UnderWay {
  idempotency_key: string | null;
  started: number;
  messages: Message[];
}

export interface SessionHead {
  namespace: string;
  name: string;
  model: string;
  chat_format: string | null;
  created: number;
  used: number;
  expires: number | null;
  metadata: Record<string, string>;
  under_way: UnderWay | null;
}

export interface SessionSummary extends SessionHead {
  turns: number;
  tokens: number;
  damaged: boolean;
  match?: { turn: number | null; excerpt: string };
}

export interface SessionTurn {
  /** How many of the session's messages belong to this turn. */
  messages: number;
  /** Length of the sequence after it. */
  tokens: number;
  answer: Answer | null;
}

export interface Session extends SessionHead {
  system: string;
  messages: Message[];
  turns: SessionTurn[];
}

export interface NewSession {
  name: string;
  model?: string;
  system?: string;
  metadata?: Record<string, string>;
}

export interface SessionChange {
  name?: string;
  expires_after?: string;
  metadata?: Record<string, string | null>;
}

export interface Fork {
  name: string;
  turns?: number;
  metadata?: Record<string, string>;
}

/** How the next token is chosen; what is left out is the model's default. */
export interface Sampling {
  temperature?: number;
  top_p?: number;
  top_k?: number;
  min_p?: number;
  repetition_penalty?: number;
  max_tokens?: number;
}

export interface Completion extends Sampling {
  model: string;
  session?: string;
  messages: Message[];
}

export interface PromptProgress {
  total: number;
  cache: number;
  processed: number;
  time_ms: number;
}

export interface Chunk {
  id?: string;
  created?: number;
  model?: string;
  choices?: {
    delta?: { content?: string | null; reasoning_content?: string | null };
    finish_reason?: string | null;
  }[];
  usage?: Usage | null;
  timings?: Timings;
  prompt_progress?: PromptProgress;
  error?: { message: string };
}

export interface ModelProps {
  id: string;
  context: number;
  default_generation_settings?: Record<string, number | null>;
}

export interface Props {
  build_info: string;
  modalities: { vision: boolean };
  models: ModelProps[];
}

export interface Me {
  needs_key: boolean;
  key: { id: string; name: string; scope: 'inference' | 'admin' } | null;
  organisation: {
    name: string;
    currency: string;
    time_zone: string;
    balance: string;
    held: string;
  } | null;
  is_admin: boolean;
  sees_metrics: boolean;
  keeps_sessions: boolean;
}
