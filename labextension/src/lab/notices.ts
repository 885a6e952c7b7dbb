/** Notifications of Lab about clusters, for whoever looks elsewhere. */

import { Notification } from '@jupyterlab/apputils';

import type { Clusters } from '../model/clusters';
import { holds, type News, news } from '../model/news';
import type { Cluster } from '../model/records';
import { remedyChange, remedyWords } from '../model/remedy';
import { kept, view } from '../model/view';
import type { Translator } from '../model/words';

/** Tells of what becomes ready, fails, waits for room, or will be stopped, until it is disposed of. */
export function notices(clusters: Clusters, trans: Translator, wanted: () => boolean): () => void {
  let before: readonly Cluster[] | null = null;
  /** What is on the screen until it is over. */
  const open = new Map<string, News>();
  return clusters.subscribe(() => {
    const { quota, clusters: after } = clusters.snapshot();
    // Before the first answer there is no list, not an empty one.
    if (quota === null || after === before) {
      return;
    }
    const all = news(before, after);
    before = after;
    for (const [id, one] of open) {
      if (!holds(one, after)) {
        Notification.dismiss(id);
        open.delete(id);
      }
    }
    if (wanted()) {
      all.forEach(one => open.set(tell(one, clusters, trans), one));
    }
  });
}

/** Shows it, and returns by what name it goes. */
function tell({ what, cluster }: News, clusters: Clusters, trans: Translator): string {
  const { name, status } = cluster;
  const keep = {
    label: trans.__('Keep 1 h'),
    callback: () => void clusters.change(name, kept(cluster, Date.now() / 1000)).catch(failed)
  };
  switch (what) {
    case 'ready':
      return Notification.success(trans.__('%1 is ready.', name), { autoClose: 5000 });
    case 'failed':
      return Notification.error(`${trans.__('%1 has failed.', name)} ${status.problem?.message ?? ''}`, { autoClose: false });
    case 'waits':
      return Notification.warning(about(name, status.problem?.message ?? ''), { autoClose: false, actions: remedies(cluster, clusters, trans) });
    case 'idle':
      return Notification.warning(`${name}: ${view(cluster, Date.now() / 1000, trans).note}`, { autoClose: false, actions: [keep] });
  }
}

/** A sentence that may have the name in it. */
function about(name: string, message: string): string {
  return message.includes(name) ? message : `${name}: ${message}`;
}

/** What would fit, as a button. */
function remedies({ name, spec, status }: Cluster, clusters: Clusters, trans: Translator): Notification.IAction[] {
  const change = status.problem && remedyChange(status.problem);
  if (!change || !status.problem) {
    return [];
  }
  const words = remedyWords(status.problem, clusters.kind(spec.kind)?.options, trans);
  return [{ label: trans.__('Ask for %1', words), callback: () => void clusters.change(name, change).catch(failed) }];
}

function failed(error: unknown): void {
  Notification.error(error instanceof Error ? error.message : String(error));
}
