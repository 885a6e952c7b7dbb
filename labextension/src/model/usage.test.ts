import { describe, expect, it, vi } from 'vitest';

import { cluster, until } from '../components/testing';
import { Api } from './api';
import type { Loads } from './records';
import { next, Usages } from './usage';
import { view } from './view';
import { english } from './words';

const GIB = 2 ** 30;

/** A stream that yields what it is told, and knows whether somebody reads. */
function stream(): { open: (signal: AbortSignal) => AsyncIterable<Loads>; say: (loads: Loads) => void; readers: () => number; opened: () => number } {
  const queue: Loads[] = [];
  let wake = (): void => undefined;
  let readers = 0;
  let opened = 0;
  async function* open(signal: AbortSignal): AsyncGenerator<Loads> {
    readers += 1;
    opened += 1;
    signal.addEventListener('abort', () => wake());
    try {
      while (!signal.aborted) {
        const loads = queue.shift();
        if (loads) {
          yield loads;
        } else {
          await new Promise<void>(resolve => (wake = resolve));
        }
      }
    } finally {
      readers -= 1;
    }
  }
  const say = (loads: Loads): void => {
    queue.push(loads);
    wake();
  };
  return { open, say, readers: () => readers, opened: () => opened };
}

describe('usage', () => {
  it('is read only while somebody looks', async () => {
    const { open, say, readers, opened } = stream();
    const usages = new Usages(open);
    const heard = vi.fn();
    usages.subscribe(heard);
    expect(readers()).toBe(0);
    usages.watch();
    usages.watch();
    say({ higgs: { cores: 1.5, memory: GIB } });
    await until(() => usages.snapshot().get('higgs')?.cores === 1.5);
    expect([readers(), opened()]).toEqual([1, 1]);
    usages.rest();
    await until(() => readers() === 0);
    expect(usages.snapshot().size).toBe(0);
    usages.watch();
    say({ top: { cores: 0, memory: GIB } });
    await until(() => usages.snapshot().has('top'));
    expect(heard).toHaveBeenCalledTimes(3);
    usages.rest();
  });

  it('ends where nobody can tell', async () => {
    const open = vi.fn(async function* (): AsyncGenerator<Loads> {});
    const usages = new Usages(open);
    usages.watch();
    await until(() => open.mock.results.length === 1);
    expect(usages.snapshot().size).toBe(0);
  });

  it('goes back for some minutes, and changes only what has changed', () => {
    let usage = next(new Map(), { higgs: { cores: 0, memory: GIB }, top: { cores: 0, memory: GIB } });
    for (let n = 1; n <= 200; n++) {
      usage = next(usage, { higgs: { cores: n, memory: GIB }, top: { cores: 0, memory: GIB } });
    }
    expect(usage.get('higgs')?.trend).toHaveLength(90);
    expect(usage.get('higgs')?.trend.at(-1)).toBe(200);
    const after = next(usage, { higgs: { cores: 3, memory: GIB }, top: { cores: 0, memory: GIB } });
    expect(after.get('top')).toBe(usage.get('top'));
    expect(after.get('higgs')).not.toBe(usage.get('higgs'));
    expect([...next(usage, { top: { cores: 1, memory: 0 } }).keys()]).toEqual(['top']);
  });

  it('comes in lines, of which the last one counts', async () => {
    const body = '{"usage":{"a":{"cores":1,"memory":1}}}\n{"usage":{"a":{"cores":2,"memory":1}}}\n';
    const api = new Api(() => Promise.resolve(new Response(body)));
    const found: Loads[] = [];
    for await (const loads of api.usage(new AbortController().signal)) {
      found.push(loads);
    }
    expect(found.at(-1)).toEqual({ a: { cores: 2, memory: 1 } });
  });

  it('is told beside what is held', () => {
    const one = cluster({ workers: 4 });
    expect(view(one, 1_700_000_000, english, { cores: 1.26, memory: 2.1 * GIB }).facts).toEqual(
      expect.arrayContaining(['1.3 of 4 cores', '2.1 GiB of 8 GiB'])
    );
    expect(view(one, 1_700_000_000, english).facts).toEqual(expect.arrayContaining(['4 cores', '8 GiB']));
  });
});
