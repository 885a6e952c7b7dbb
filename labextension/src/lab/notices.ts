/** Notifications of Lab about clusters, for whoever looks elsewhere. */

import { Notification } from '@jupyterlab/apputils';

import type { Clusters } from '../model/clusters';
import { type News, news } from '../model/news';
import type { Cluster } from '../model/records';
import { view } from '../model/view';
import type { Translator } from '../model/words';

const HOUR = 3600;

/** Tells of what becomes ready, fails, or will be stopped, until it is disposed of. */
export function notices(clusters: Clusters, trans: Translator, wanted: () => boolean): () => void {
  let before: readonly Cluster[] | null = null;
  const standing = new Map<string, Standing>();
  return clusters.subscribe(() => {
    const { quota, clusters: after } = clusters.snapshot();
    // Before the first answer there is no list, not an empty one.
    if (quota === null || after === before) {
      return;
    }
    const all = news(before, after);
    before = after;
    // What is over, or somebody has seen to, need not be told any more.
    standing.forEach(({ what, uid }, id) => {
      if (!after.some(cluster => cluster.spec.uid === uid && holds(what, cluster))) {
        standing.delete(id);
        Notification.dismiss(id);
      }
    });
    if (wanted()) {
      all.forEach(one => standing.set(tell(one, clusters, trans), { what: one.what, uid: one.cluster.spec.uid }));
    }
  });
}

interface Standing {
  readonly what: News['what'];
  readonly uid: string;
}

function holds(what: News['what'], { status }: Cluster): boolean {
  return what === 'idle' ? status.stops_at !== null : what === 'failed' ? status.phase === 'failed' : true;
}

/** Returns what it can be taken away by. */
function tell({ what, cluster }: News, clusters: Clusters, trans: Translator): string {
  const { name, status } = cluster;
  const keep = {
    label: trans.__('Keep 1 h'),
    callback: () => void clusters.change(name, { keep_until: Date.now() / 1000 + HOUR }).catch(failed)
  };
  switch (what) {
    case 'ready':
      return Notification.success(trans.__('%1 is ready.', name), { autoClose: 5000 });
    case 'failed':
      return Notification.error(`${trans.__('%1 has failed.', name)} ${status.problem?.message ?? ''}`, { autoClose: false });
    case 'idle':
      return Notification.warning(`${name}: ${view(cluster, Date.now() / 1000, trans).note}`, { autoClose: false, actions: [keep] });
  }
}

function failed(error: unknown): void {
  Notification.error(error instanceof Error ? error.message : String(error));
}
