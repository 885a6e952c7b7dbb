import { describe, expect, it, vi } from 'vitest';

import { cluster } from '../components/testing';
import type { Clusters, Snapshot } from './clusters';
import { farewell, took } from './farewell';
import { english } from './words';

const receipt = (name: string, core_seconds: number): { uid: string; name: string; core_seconds: number; wall_seconds: number } => ({
  uid: `uid-${name}`,
  name,
  core_seconds,
  wall_seconds: 48
});

describe('a farewell', () => {
  it.each([
    [[], null],
    [[receipt('higgs', 97)], 'higgs has stopped after 48 s: 0.027 core-hours.'],
    [[receipt('higgs', 3600), receipt('skim', 5400)], '2 clusters have stopped: 2.5 core-hours.']
  ] as const)('of %j', (receipts, said) => expect(farewell(receipts, english)).toBe(said));

  it('waits until they are gone', async () => {
    const one = cluster();
    let listed: Pick<Snapshot, 'clusters'> = { clusters: [one, cluster({ name: 'skim' })] };
    const heard = new Set<() => void>();
    const receipts = vi.fn(() => Promise.resolve([receipt('higgs', 1)]));
    const clusters = {
      api: { receipts },
      snapshot: () => listed,
      subscribe: (listener: () => void) => {
        heard.add(listener);
        return () => heard.delete(listener);
      }
    } as unknown as Clusters;
    const told = took(clusters, [one]);
    heard.forEach(listener => listener());
    await Promise.resolve();
    expect(receipts).not.toHaveBeenCalled();
    listed = { clusters: [cluster({ name: 'skim' })] };
    heard.forEach(listener => listener());
    expect(await told).toEqual([receipt('higgs', 1)]);
    expect(receipts).toHaveBeenCalledExactlyOnceWith(['uid-higgs']);
    expect(heard.size).toBe(0);
  });

  it('needs no wait for what is gone already', async () => {
    const clusters = { api: { receipts: () => Promise.resolve([]) }, snapshot: () => ({ clusters: [] }), subscribe: () => () => undefined };
    expect(await took(clusters as unknown as Clusters, [cluster()])).toEqual([]);
  });
});
