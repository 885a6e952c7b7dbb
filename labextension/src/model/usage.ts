/**
 * What clusters use, for as long as somebody looks. Between `watch` and `rest` it reads a stream that goes on; nothing else tells of it, and
 * no record holds it.
 */

import type { Load, Loads } from './records';

/** What a cluster uses now, and how many cores it used before, oldest first. */
export interface Used extends Load {
  readonly trend: readonly number[];
}

export type Usage = ReadonlyMap<string, Used>;

/** Looks that a trend goes back: three minutes. */
const MOST = 90;
/** Milliseconds until the next try, after nobody answered. */
const AGAIN = 10_000;

export class Usages {
  private current: Usage = new Map();
  private readonly listeners = new Set<() => void>();
  private reading: AbortController | null = null;

  constructor(private readonly open: (signal: AbortSignal) => AsyncIterable<Loads>) {}

  readonly snapshot = (): Usage => this.current;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Somebody looks. */
  watch(): void {
    if (this.reading === null) {
      this.reading = new AbortController();
      void this.read(this.reading.signal);
    }
  }

  /** Nobody looks any more. What was last seen is old by the next time. */
  rest(): void {
    this.reading?.abort();
    this.reading = null;
    this.set(new Map());
  }

  private async read(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const loads of this.open(signal)) {
          if (!signal.aborted) {
            this.set(next(this.current, loads));
          }
        }
        return; // nobody can tell here
      } catch {
        // The list says when nobody answers; here it is only tried again.
        await pause(AGAIN, signal);
      }
    }
  }

  private set(usage: Usage): void {
    this.current = usage;
    this.listeners.forEach(listener => listener());
  }
}

/** What is known after another look. What says the same stays the same object. */
export function next(before: Usage, loads: Loads): Usage {
  return new Map(
    Object.entries(loads).map(([name, { cores, memory }]) => {
      const old = before.get(name);
      const trend = [...(old?.trend ?? []), cores].slice(-MOST);
      const idle = old !== undefined && old.memory === memory && trend.every(one => one === cores) && trend.length === old.trend.length;
      return [name, idle ? old : { cores, memory, trend }];
    })
  );
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
