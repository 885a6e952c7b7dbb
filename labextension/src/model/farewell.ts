/** What is told of clusters that were stopped, once they are gone: what they took. */

import type { Clusters } from './clusters';
import type { Cluster, Receipt } from './records';
import { lasting, type Translator } from './words';

/** Waits until the list has none of them any more, and returns what they took. */
export async function took(clusters: Clusters, which: readonly Cluster[]): Promise<readonly Receipt[]> {
  const uids = new Set(which.map(({ spec }) => spec.uid));
  await gone(clusters, uids);
  return clusters.api.receipts([...uids]);
}

function gone(clusters: Clusters, uids: ReadonlySet<string>): Promise<void> {
  return new Promise(done => {
    const stop = clusters.subscribe(() => look());
    const look = (): void => {
      if (!clusters.snapshot().clusters.some(({ spec }) => uids.has(spec.uid))) {
        stop();
        done();
      }
    };
    look();
  });
}

/** What was taken, in a sentence; of nothing, nothing is to be said. */
export function farewell(receipts: readonly Receipt[], trans: Translator): string | null {
  const [first] = receipts;
  if (first === undefined) {
    return null;
  }
  const hours = hoursOf(receipts.reduce((sum, { core_seconds }) => sum + core_seconds, 0));
  return receipts.length === 1
    ? trans.__('%1 has stopped after %2: %3 core-hours.', first.name, lasting(first.wall_seconds), hours)
    : trans.__('%1 clusters have stopped: %2 core-hours.', receipts.length, hours);
}

/** With two digits, as Python has it. */
function hoursOf(seconds: number): string {
  return String(Number((seconds / 3600).toPrecision(2)));
}
