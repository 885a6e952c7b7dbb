/** The kernel behind a card: the traits of its widget, and what is asked of it in messages. */

import { Refused, Unreachable } from '../model/api';
import type { Json, Problem } from '../model/records';

/** What anywidget gives of the widget in the kernel. */
export interface Model {
  get(trait: string): unknown;
  on(event: string, callback: (...args: unknown[]) => void): void;
  off(event: string, callback: (...args: unknown[]) => void): void;
  send(content: unknown): void;
}

/** What the kernel says of something that it was asked for. */
interface Reply {
  readonly id: string;
  readonly heard?: true;
  readonly more?: unknown;
  readonly ok?: true;
  readonly problem?: Problem;
}

interface Open {
  heard: boolean;
  readonly more: (what: unknown) => void;
  readonly ok: () => void;
  readonly fail: (error: Error) => void;
}

/** Milliseconds after which a kernel that says nothing is busy. */
const PATIENCE = 1500;

export class Kernel {
  private readonly open = new Map<string, Open>();
  private readonly listeners = new Set<() => void>();
  private silent = false;
  private asked = 0;
  private readonly mark = Math.random().toString(36).slice(2);

  constructor(private readonly model: Model) {
    model.on('msg:custom', this.take);
    model.on('comm_live_update', this.endAll);
  }

  dispose(): void {
    this.model.off('msg:custom', this.take);
    this.model.off('comm_live_update', this.endAll);
    this.endAll();
  }

  /** Whether it has not even heard what it was asked for: it runs a cell. */
  readonly busy = (): boolean => this.silent;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Asks for something, until it is done, refused, or given up by `signal`. */
  ask(what: string, given: Json = null, more: (what: unknown) => void = () => undefined, signal?: AbortSignal): Promise<void> {
    this.asked += 1;
    const id = `${this.mark}-${this.asked}`;
    const done = new Promise<void>((ok, fail) => {
      this.open.set(id, { heard: false, more, ok, fail });
    });
    signal?.addEventListener('abort', () => {
      if (this.open.has(id)) {
        this.model.send({ id: `${id}-end`, do: 'cancel', given: id });
        this.close(id)?.ok();
      }
    });
    this.model.send({ id, do: what, given });
    setTimeout(() => this.settle(), PATIENCE);
    return done;
  }

  private readonly take = (content: unknown): void => {
    const reply = content as Reply;
    const open = this.open.get(reply.id);
    if (open === undefined) {
      return; // of another view of the same widget
    }
    open.heard = true;
    if (reply.more !== undefined) {
      open.more(reply.more);
    } else if (reply.problem) {
      this.close(reply.id);
      open.fail(new Refused(reply.problem, 0));
    } else if (reply.ok) {
      this.close(reply.id);
      open.ok();
    }
    this.settle(false);
  };

  private close(id: string): Open | undefined {
    const open = this.open.get(id);
    this.open.delete(id);
    return open;
  }

  /** What a kernel was asked for ends with the kernel. */
  private readonly endAll = (): void => {
    [...this.open.keys()].forEach(id => this.close(id)?.fail(new Unreachable('The kernel has ended.')));
    this.settle(false);
  };

  private settle(late = true): void {
    const silent = late && [...this.open.values()].some(({ heard }) => !heard);
    if (silent !== this.silent) {
      this.silent = silent;
      this.listeners.forEach(listener => listener());
    }
  }
}
