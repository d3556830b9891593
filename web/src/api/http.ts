/** Requests to the API: typed by `schema.d.ts`, with the cookie's CSRF token, and errors as `Problem`. */
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

export type Schema<Name extends keyof components["schemas"]> = components["schemas"][Name];

/** An error of the API (RFC 9457). `errors` holds what is wrong with each field, by its path. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly errors: Record<string, string[]> = {},
    readonly traceId = "",
  ) {
    super(message);
  }
}

let csrfToken = "";

/** Set the token that writes of a browser session must carry; empty without a session. */
export function setCsrfToken(token: string): void {
  csrfToken = token;
}

type Listener = (problem: Problem) => void;
const unauthenticated = new Set<Listener>();

/** Call the listener when a request is refused because nobody is signed in. */
export function onUnauthenticated(listener: Listener): () => void {
  unauthenticated.add(listener);
  return () => unauthenticated.delete(listener);
}

export const api = createClient<paths>({ baseUrl: location.origin, credentials: "same-origin" });

api.use({
  onRequest({ request }) {
    if (csrfToken && request.method !== "GET") request.headers.set("X-CSRF-Token", csrfToken);
    return request;
  },
});

interface Answer<Data> {
  data?: Data;
  error?: unknown;
  response: Response;
}

/** Return the data of an answer: `await data(api.GET("/api/v1/jobs"))`. Throws `Problem`. */
export async function data<Data>(answer: Promise<Answer<Data>>): Promise<Data> {
  let done: Answer<Data>;
  try {
    done = await answer;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "unreachable", "the server does not answer");
  }
  if (!done.response.ok) throw problemOf(done.response.status, done.error);
  return done.data as Data;
}

interface ProblemBody {
  type: string;
  detail: string;
  /** The text of the errors of characters, which have another shape. */
  message: string;
  errors: Record<string, string[]>;
  traceId: string;
}

function problemOf(status: number, body: unknown): Problem {
  const said = (typeof body === "object" && body !== null ? body : {}) as Partial<ProblemBody>;
  const code = (said.type ?? "").split(":").pop() ?? "";
  const problem = new Problem(status, code, said.detail ?? said.message ?? `the server answered with ${status}`, said.errors, said.traceId);
  if (status === 401) for (const listener of unauthenticated) listener(problem);
  return problem;
}

/** Send a form or a file, where openapi-fetch has no typed body. Throws `Problem`. */
export async function send<Data>(method: string, path: string, body?: BodyInit, signal?: AbortSignal, given: Record<string, string> = {}): Promise<Data> {
  const headers: Record<string, string> = csrfToken ? { ...given, "X-CSRF-Token": csrfToken } : { ...given };
  if (typeof body === "string") headers["Content-Type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(path, { method, headers, body, signal, credentials: "same-origin" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "unreachable", "the server does not answer");
  }
  const text = await response.text();
  const parsed: unknown = text && response.headers.get("content-type")?.includes("json") ? JSON.parse(text) : text;
  if (!response.ok) throw problemOf(response.status, parsed);
  return parsed as Data;
}
