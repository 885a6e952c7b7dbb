/** What is worth telling somebody who looks elsewhere: what became ready, failed, or will be stopped. Pure. */

import type { Cluster } from './records';

export interface News {
  readonly what: 'ready' | 'failed' | 'idle';
  readonly cluster: Cluster;
}

/** What has happened between two lists. In the first list that there is, with null before it, only what is about to be stopped is news. */
export function news(before: readonly Cluster[] | null, after: readonly Cluster[]): readonly News[] {
  const known = new Map((before ?? []).map(cluster => [cluster.spec.uid, cluster]));
  return after.flatMap<News>(cluster => {
    const old = known.get(cluster.spec.uid);
    if (old === cluster) {
      return [];
    }
    const was = old?.status;
    const is = cluster.status;
    if (is.stops_at !== null && (was === undefined || was.stops_at === null)) {
      return [{ what: 'idle', cluster }];
    }
    // What is launched may be ready before it is read.
    if ((was === undefined && before === null) || was?.phase === is.phase) {
      return [];
    }
    if (is.phase === 'failed') {
      return [{ what: 'failed', cluster }];
    }
    // From degraded it only comes back.
    return is.phase === 'ready' && was?.phase !== 'degraded' ? [{ what: 'ready', cluster }] : [];
  });
}
