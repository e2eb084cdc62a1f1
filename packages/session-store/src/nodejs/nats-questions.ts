/**
 * Questions to JetStream of which very many are under way: one subscription for all answers, and one timer. The library's own
 * request makes three errors with their stacks, two promises and a timer for each, which was a third of what a relay did.
 *
 * Bounds: those of whoever asks; each is over after `askMs`.
 */
import type { ApiError, JetStreamApiError } from "@nats-io/jetstream";
import type { Msg, MsgHdrs, NatsConnection } from "@nats-io/transport-node";

/** What of the packages of NATS it needs. */
export interface QuestionParts {
  readonly createInbox: () => string;
  readonly JetStreamApiError: new (error: ApiError) => JetStreamApiError;
  readonly errors: Pick<
    typeof import("@nats-io/transport-node").errors,
    "ClosedConnectionError" | "NoRespondersError" | "RequestError" | "TimeoutError"
  >;
}

interface Question<Answer> {
  readonly subject: string;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
  readonly until: number;
}

export class NatsQuestions {
  readonly #parts: QuestionParts;
  readonly #connection: NatsConnection;
  readonly #askMs: number;
  readonly #inbox: string;
  /** The one asked first is first. */
  // biome-ignore lint/suspicious/noExplicitAny: each has an answer of its own shape.
  readonly #open = new Map<string, Question<any>>();
  #asked = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(parts: QuestionParts, connection: NatsConnection, askMs: number) {
    this.#parts = parts;
    this.#connection = connection;
    this.#askMs = askMs;
    this.#inbox = `${parts.createInbox()}.`;
    connection.subscribe(`${this.#inbox}*`, {
      callback: (error, message) => {
        if (error === null) this.#answered(message);
      },
    });
    void connection.closed().then(() => this.#end());
  }

  /**
   * Asks once.
   *
   * @returns The answer, read as JSON.
   * @throws `JetStreamApiError` for one that says no; what the library throws when there is none.
   */
  ask<Answer>(subject: string, payload: Uint8Array | string, headers?: MsgHdrs): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#asked += 1;
      const token = this.#asked.toString(36);
      this.#connection.publish(subject, payload, {
        reply: this.#inbox + token,
        ...(headers !== undefined && { headers }),
      });
      this.#open.set(token, { subject, resolve, reject, until: performance.now() + this.#askMs });
      this.#timer ??= setTimeout(() => this.#expire(), this.#askMs);
    });
  }

  #answered(message: Msg): void {
    const token = message.subject.slice(this.#inbox.length);
    const question = this.#open.get(token);
    if (question === undefined) return;
    this.#open.delete(token);
    const { errors, JetStreamApiError } = this.#parts;
    if (message.data.length === 0) {
      // The server says so at once of a stream that has no leader.
      const cause = new errors.NoRespondersError(question.subject);
      question.reject(new errors.RequestError(cause.message, { cause }));
      return;
    }
    try {
      const answer = message.json<{ readonly error?: ApiError }>();
      if (answer.error === undefined) question.resolve(answer);
      else question.reject(new JetStreamApiError(answer.error));
    } catch (error) {
      question.reject(error as Error);
    }
  }

  #expire(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const [token, { until, reject }] of this.#open) {
      if (until > now) {
        this.#timer = setTimeout(() => this.#expire(), until - now);
        return;
      }
      this.#open.delete(token);
      reject(new this.#parts.errors.TimeoutError());
    }
  }

  #end(): void {
    clearTimeout(this.#timer);
    for (const { reject } of this.#open.values()) reject(new this.#parts.errors.ClosedConnectionError());
    this.#open.clear();
  }
}
