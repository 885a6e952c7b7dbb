/** What is worth telling somebody who looks elsewhere: what became ready, failed, waits for room, or will be stopped. Pure. */

import type { Cluster } from './records';
import { groups } from './view';

export interface News {
  readonly what: 'ready' | 'failed' | 'idle' | 'waits';
  readonly cluster: Cluster;
}

/** What has happened between two lists. In the first list that there is, with null before it, only what is about to be stopped is news. */
export function news(before: readonly Cluster[] | null, after: readonly Cluster[]): readonly News[] {
  const olds = new Map((before ?? []).map(cluster => [cluster.spec.uid, cluster]));
  return after.flatMap<News>(cluster => {
    const old = olds.get(cluster.spec.uid);
    if (old === cluster) {
      return [];
    }
    const was = old?.status;
    const is = cluster.status;
    if (is.stops_at !== null && (was === undefined || was.stops_at === null)) {
      return [{ what: 'idle', cluster }];
    }
    // What is launched may be ready, or have failed, before it is read.
    if (was === undefined && before === null) {
      return [];
    }
    const told: News[] = waits(cluster) && !(old && waits(old)) ? [{ what: 'waits', cluster }] : [];
    if (was?.phase === is.phase) {
      return told;
    }
    if (is.phase === 'failed') {
      return [{ what: 'failed', cluster }];
    }
    // From degraded it only comes back.
    return is.phase === 'ready' && was?.phase !== 'degraded' ? [...told, { what: 'ready', cluster }] : told;
  });
}

/** Whether something that was told still holds, and nobody has seen to it. */
export function holds({ what, cluster }: News, now: readonly Cluster[]): boolean {
  const found = now.find(({ spec }) => spec.uid === cluster.spec.uid);
  switch (what) {
    case 'idle':
      return found !== undefined && found.status.stops_at !== null;
    case 'waits':
      return found !== undefined && waits(found);
    case 'failed':
      return found?.status.phase === 'failed';
    case 'ready':
      return found !== undefined;
  }
}

/** Whether somebody has asked for more than there is room for. What follows the work comes to the limits time and again. */
function waits(cluster: Cluster): boolean {
  const code = cluster.status.problem?.code;
  return code === 'queued' || (code === 'limited' && groups(cluster).every(({ bounds }) => bounds === null));
}
