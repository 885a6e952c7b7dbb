/** What can be done with a cluster by name, for palettes and keys. Pure. */

import type { Bounds, Cluster, Size } from './records';
import { own, type View, view } from './view';
import type { Translator } from './words';

export type Verb = 'scale' | 'keep' | 'restart' | 'stop' | 'insert' | 'logs' | 'dashboard';

const CAN: { readonly [verb in Verb]: (shown: View, cluster: Cluster) => boolean } = {
  scale: ({ can }) => can.scale && !can.cancel,
  keep: ({ can }) => can.use,
  restart: ({ can }) => can.restart,
  stop: ({ can }, { status }) => can.use || can.cancel || status.phase === 'failed',
  insert: ({ can }) => can.use,
  logs: (_, { status }) => Object.keys(status.instances).length > 0,
  dashboard: ({ can }, { dashboards }) => can.use && Object.keys(dashboards).length > 0
};

/** The clusters with which this can be done now. */
export function able(verb: Verb, clusters: readonly Cluster[], now: number, trans: Translator): readonly Cluster[] {
  return clusters.filter(cluster => CAN[verb](view(cluster, now, trans), cluster));
}

/** A size as somebody writes it: `4`, or two bounds, `0-10`; null if it is none. */
export function sizeOf(text: string): Size | null {
  const [, least, most] = /^\s*(\d{1,6})\s*(?:[-–]\s*(\d{1,6})\s*)?$/.exec(text) ?? [];
  if (least === undefined) {
    return null;
  }
  if (most === undefined) {
    return { workers: Number(least) };
  }
  const adapt: Bounds = { minimum: Number(least), maximum: Number(most) };
  return adapt.minimum <= adapt.maximum && adapt.maximum > 0 ? { adapt } : null;
}

/** The size of a cluster, written the same way. */
export function sizeIn(cluster: Cluster): string {
  const { bounds, workers } = own(cluster);
  return bounds ? `${bounds.minimum}-${bounds.maximum}` : String(workers);
}
