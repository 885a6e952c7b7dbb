/**
 * Infrastructures as their service tells of them, directly or through Jupyter Server, and the list of them that screens draw from.
 *
 * The service holds a question until something has changed, so that nothing is asked over and over; only while somebody looks.
 */

import { asked, problemOf, Refused, type Send, Unreachable } from './api';
import type { Options, Phase, Problem, Schema, Step } from './records';

export interface Vm {
  readonly id: string;
  readonly role: string;
  /** In the words of whoever made it. */
  readonly state: string;
  readonly addresses: readonly string[];
}

export interface Infrastructure {
  readonly name: string;
  readonly owner: string;
  readonly uid: string;
  readonly template: string;
  readonly provisioner: string;
  readonly cloud: string;
  readonly inputs: Options;
  readonly workers: number | null;
  /** Seconds that it stays after nobody uses it; null is for ever. */
  readonly linger: number | null;
  readonly created: number;
  readonly generation: number;
  readonly wanted: 'present' | 'absent';
  readonly phase: Phase;
  readonly steps: readonly Step[];
  readonly problem: Problem | null;
  readonly identifier: string;
  readonly machines: readonly Vm[];
  readonly outputs: { readonly [name: string]: string };
  /** Servers of the hub, as `user/server`. */
  readonly holders: readonly string[];
}

export interface Machine {
  readonly role: string;
  readonly count: number;
  readonly cores: number;
  readonly memory: number;
  readonly disk: number;
  readonly public: boolean;
}

export interface QuotaLine {
  readonly name: string;
  readonly asked: number;
  readonly used: number | null;
  readonly limit: number | null;
}

export interface Plan {
  readonly machines: readonly Machine[];
  readonly quota: readonly QuotaLine[];
  readonly notes: readonly string[];
}

export interface Template {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly digest: string;
  readonly inputs: Schema;
}

export interface Cloud {
  readonly name: string;
  readonly kind: string;
  /** Whose; empty: one's own. */
  readonly group: string;
  readonly public: { readonly [name: string]: string };
}

/** What is asked for. What is left out is as the service has it. */
export interface Wanted {
  readonly name: string;
  readonly template?: string;
  readonly text?: string;
  readonly inputs: Options;
  readonly cloud?: string;
  readonly linger?: number | null;
}

export class InfrastructureApi {
  constructor(private readonly send: Send) {}

  /** All of them; null where nobody makes any. */
  async list(): Promise<readonly Infrastructure[] | null> {
    const told = await this.json<readonly Infrastructure[] | { available: boolean; infrastructures: readonly Infrastructure[] }>('infrastructures');
    return 'available' in told ? (told.available ? told.infrastructures : null) : told;
  }

  /** One, as soon as it has changed, or after a while. */
  async changed({ name, generation }: Infrastructure, signal: AbortSignal): Promise<unknown> {
    return this.json(`${path(name)}?newer_than=${generation}&wait=20`, { signal });
  }

  async templates(): Promise<readonly Template[]> {
    const told = await this.json<readonly Template[] | { templates: readonly Template[] }>('templates');
    return 'templates' in told ? told.templates : told;
  }

  async clouds(): Promise<readonly Cloud[]> {
    const told = await this.json<readonly Cloud[] | { clouds: readonly Cloud[] }>('clouds');
    return 'clouds' in told ? told.clouds : told;
  }

  async plan(wanted: Wanted, signal?: AbortSignal): Promise<Plan> {
    return this.json('plans', { ...body('POST', wanted), ...(signal && { signal }) });
  }

  async create(wanted: Wanted): Promise<Infrastructure> {
    return this.json('infrastructures', body('POST', wanted));
  }

  async scale(name: string, workers: number): Promise<Infrastructure> {
    return this.json(path(name), body('PATCH', { workers }));
  }

  async remove(name: string): Promise<void> {
    await asked(this.send, path(name), { method: 'DELETE' });
  }

  async log(name: string): Promise<string> {
    return (await asked(this.send, `${path(name)}/log`)).text();
  }

  async kubeconfig(name: string): Promise<string> {
    return (await asked(this.send, `${path(name)}/kubeconfig`)).text();
  }

  async addCloud(cloud: Options & { readonly name: string }): Promise<unknown> {
    return this.json(`clouds/${encodeURIComponent(cloud.name)}`, body('PUT', cloud));
  }

  async removeCloud(name: string): Promise<void> {
    await asked(this.send, `clouds/${encodeURIComponent(name)}`, { method: 'DELETE' });
  }

  private async json<T>(where: string, init?: RequestInit): Promise<T> {
    return (await (await asked(this.send, where, init)).json()) as T;
  }
}

function path(name: string): string {
  return `infrastructures/${encodeURIComponent(name)}`;
}

function body(method: string, what: object): RequestInit {
  return { method, body: JSON.stringify(what), headers: { 'Content-Type': 'application/json' } };
}

/** All that is known. Infrastructures stay when the service is away: better old than none, and `state` says so. */
export interface Infrastructures {
  readonly state: 'loading' | 'live' | 'offline' | 'error';
  /** Whether anybody makes any here. */
  readonly available: boolean;
  readonly infrastructures: readonly Infrastructure[];
  /** What they can be made of. */
  readonly templates: readonly Template[];
  /** Where. */
  readonly clouds: readonly Cloud[];
  readonly problem: Problem | null;
}

/** Questions that wait at once: a browser has only so many connections. */
const MOST_WAITING = 2;

/** Milliseconds between two readings of all: at the least, while more changes than is waited for, and otherwise. */
const LEAST = 300;
const MOVING = 4000;
const STILL = 20_000;
const LAST = 30_000;

export class InfrastructureList {
  private current: Infrastructures = { state: 'loading', available: false, infrastructures: [], templates: [], clouds: [], problem: null };
  private readonly listeners = new Set<() => void>();
  private watching: AbortController | null = null;
  private readonly sleepers = new Set<() => void>();

  constructor(readonly api: InfrastructureApi) {}

  readonly snapshot = (): Infrastructures => this.current;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Begin to look, if nobody does. */
  watch(): void {
    if (this.watching === null) {
      this.watching = new AbortController();
      void this.run(this.watching.signal);
    }
  }

  /** Look no longer. */
  rest(): void {
    this.watching?.abort();
    this.watching = null;
  }

  refresh(): void {
    this.nudge();
    this.watch();
  }

  /** Read what there is to choose from: it may have changed since it was last. */
  async readChoices(): Promise<void> {
    const [templates, clouds] = await Promise.all([this.api.templates(), this.api.clouds()]);
    this.set({ templates, clouds });
  }

  async create(wanted: Wanted): Promise<Infrastructure> {
    return this.then(this.api.create(wanted));
  }

  async scale({ name }: Infrastructure, workers: number): Promise<unknown> {
    return this.then(this.api.scale(name, workers));
  }

  async remove({ name }: Infrastructure): Promise<unknown> {
    return this.then(this.api.remove(name));
  }

  /** What was done here is seen at once. */
  private async then<T>(done: Promise<T>): Promise<T> {
    const found = await done;
    this.nudge();
    return found;
  }

  private async run(signal: AbortSignal): Promise<void> {
    let pause = 1000;
    while (!signal.aborted) {
      try {
        await this.read(signal);
        pause = 1000;
        if (!this.current.available) {
          return;
        }
        if (this.current.templates.length === 0) {
          // Without them, templates are called by their names.
          this.readChoices().catch(() => undefined);
        }
        await this.change(signal);
      } catch (error) {
        if (signal.aborted) {
          return;
        }
        this.set({ state: error instanceof Unreachable ? 'offline' : 'error', problem: problemOf(error) });
        await this.sleep(pause, signal);
        pause = Math.min(2 * pause, LAST);
      }
    }
  }

  private async read(signal: AbortSignal): Promise<void> {
    const found = await this.api.list();
    if (signal.aborted) {
      return;
    }
    const before = new Map(this.current.infrastructures.map(one => [one.uid, one]));
    const kept = (found ?? []).map(one => (before.get(one.uid)?.generation === one.generation ? (before.get(one.uid) ?? one) : one));
    this.set({ state: 'live', available: found !== null, infrastructures: kept, problem: null });
  }

  /** Returns when something may have changed. */
  private async change(signal: AbortSignal): Promise<void> {
    const all = this.current.infrastructures;
    const moving = all.filter(moves);
    const followed = [...moving, ...all.filter(one => !moves(one))].slice(0, MOST_WAITING);
    const control = new AbortController();
    const end = (): void => control.abort();
    signal.addEventListener('abort', end);
    try {
      const least = this.sleep(LEAST, signal);
      const waits = followed.map(one => this.api.changed(one, control.signal).catch(gone));
      await Promise.race([...waits, this.sleep(moving.length > MOST_WAITING ? MOVING : STILL, control.signal)]);
      await least;
    } finally {
      end();
      signal.removeEventListener('abort', end);
    }
  }

  /** Ends sooner when somebody has done something. */
  private sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
    return new Promise(done => {
      const end = (): void => {
        clearTimeout(timer);
        this.sleepers.delete(end);
        done();
      };
      const timer = setTimeout(end, milliseconds);
      this.sleepers.add(end);
      signal.addEventListener('abort', end, { once: true });
    });
  }

  private nudge(): void {
    [...this.sleepers].forEach(wake => wake());
  }

  private set(change: Partial<Infrastructures>): void {
    this.current = { ...this.current, ...change };
    this.listeners.forEach(listener => listener());
  }
}

/** Whether it is about to change by itself. */
export function moves({ phase, wanted }: Infrastructure): boolean {
  return wanted === 'absent' || phase === 'pending' || phase === 'starting' || phase === 'stopping';
}

/** What is gone has changed; of anything else the next reading of all tells. */
function gone(error: unknown): void {
  if (!(error instanceof Refused && error.status === 404)) {
    throw error;
  }
}
