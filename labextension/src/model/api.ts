/** The REST interface of the server extension, over whatever sends requests: Lab's connection, or `fetch`. */

import type { Change, Cluster, Kind, Loads, LogLine, Options, Problem, Quota, Receipt } from './records';

/** Sends a request to a path below the API. It fails only where nobody answers. */
export type Send = (path: string, init?: RequestInit) => Promise<Response>;

/** The server refuses, with a sentence. */
export class Refused extends Error {
  constructor(
    readonly problem: Problem,
    readonly status: number
  ) {
    super(problem.message);
  }
}

/** Nobody answers. */
export class Unreachable extends Error {}

/** Any error as what is shown of it. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Refused) {
    return error.problem;
  }
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof Unreachable ? 'unreachable' : 'error';
  return { code, message, cause: '', remedy: '', retryable: true };
}

export class Api {
  constructor(private readonly send: Send) {}

  async kinds(): Promise<readonly Kind[]> {
    return (await this.read<{ kinds: readonly Kind[] }>('kinds')).kinds;
  }

  async clusters(): Promise<readonly Cluster[]> {
    return (await this.read<{ clusters: readonly Cluster[] }>('clusters')).clusters;
  }

  /** One cluster; null if it is gone. */
  async cluster(name: string): Promise<Cluster | null> {
    try {
      return await this.read<Cluster>(path(name));
    } catch (error) {
      if (error instanceof Refused && error.status === 404) {
        return null;
      }
      throw error;
    }
  }

  /** What clusters took that have ended. */
  async receipts(uids: readonly string[]): Promise<readonly Receipt[]> {
    return (await this.read<{ receipts: readonly Receipt[] }>(`receipts?uids=${uids.map(encodeURIComponent).join(',')}`)).receipts;
  }

  async quota(): Promise<Quota> {
    return this.read('quota');
  }

  async launch(kind: string, name: string, options: Options): Promise<Cluster> {
    return this.read('clusters', { method: 'POST', body: JSON.stringify({ kind, ...(name ? { name } : {}), options }) });
  }

  async change(name: string, change: Change): Promise<Cluster> {
    return this.read(path(name), { method: 'PATCH', body: JSON.stringify(change) });
  }

  async stop(name: string): Promise<void> {
    await this.reply(path(name), { method: 'DELETE' });
  }

  /** The last lines of a cluster's instances, then each new one, until it is gone or `signal` says so. */
  async *logs(name: string, lines: number, signal: AbortSignal): AsyncGenerator<readonly LogLine[]> {
    yield* this.lines<LogLine>(`${path(name)}/logs?follow=true&lines=${lines}`, signal);
  }

  /** Asks something of a dashboard of a cluster, behind Jupyter's sign-in. */
  async ask(name: string, dashboard: string, where: string, init?: RequestInit): Promise<unknown> {
    return this.read(`${path(name)}/ui/${encodeURIComponent(dashboard)}/${where}`, init);
  }

  /** What clusters use, every two seconds or so, until `signal` says so, or nobody can tell. */
  async *usage(signal: AbortSignal): AsyncGenerator<Loads> {
    for await (const said of this.lines<{ usage: Loads }>('usage?follow=true', signal)) {
      const last = said.at(-1);
      if (last) {
        yield last.usage;
      }
    }
  }

  private async *lines<T>(where: string, signal: AbortSignal): AsyncGenerator<readonly T[]> {
    const response = await this.reply(where, { signal });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true };
      if (done || value === undefined) {
        return;
      }
      const parts = (rest + value).split('\n');
      rest = parts.pop() ?? '';
      const said = parts.filter(part => part !== '').map(part => JSON.parse(part) as T);
      if (said.length) {
        yield said;
      }
    }
  }

  private async read<T>(where: string, init?: RequestInit): Promise<T> {
    return (await (await this.reply(where, init)).json()) as T;
  }

  private reply(where: string, init?: RequestInit): Promise<Response> {
    return asked(this.send, where, init);
  }
}

/** The reply to a request, if it is a good one. */
export async function asked(send: Send, where: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await send(where, init);
  } catch (error) {
    throw init.signal?.aborted ? error : new Unreachable(error instanceof Error ? error.message : String(error));
  }
  if (!response.ok) {
    throw new Refused(await refusal(response), response.status);
  }
  return response;
}

function path(name: string): string {
  return `clusters/${encodeURIComponent(name)}`;
}

/** What a reply says went wrong; a proxy on the way does not speak our language. */
async function refusal(response: Response): Promise<Problem> {
  const plain = { code: 'error', message: `${response.status} ${response.statusText}`.trim(), cause: '', remedy: '' };
  try {
    const body: unknown = await response.json();
    // The service of infrastructures says the same without what is around it.
    return isReply(body) ? { ...plain, ...body.error } : isProblem(body) ? { ...plain, ...body } : plain;
  } catch {
    return plain;
  }
}

function isReply(body: unknown): body is { error: Problem } {
  return typeof body === 'object' && body !== null && 'error' in body && typeof body.error === 'object';
}

function isProblem(body: unknown): body is Problem {
  return typeof body === 'object' && body !== null && 'code' in body && 'message' in body && typeof body.message === 'string';
}
