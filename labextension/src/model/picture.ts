/** The last state of a cluster, as a notebook keeps it. Notebooks come from anywhere: nothing of it is taken for granted. */

import type { Cluster, Condition, Instance, Json, Options, Phase, Problem, Step } from './records';

export const MIME = 'application/vnd.jupyter-dodas.cluster+json';

export interface Picture {
  /** When it was so, in Unix seconds. */
  readonly at: number;
  /** The name of its kind that its community knows. */
  readonly title: string;
  /** Null of one that is still to be launched. */
  readonly cluster: Cluster | null;
}

const PHASES: readonly string[] = ['pending', 'starting', 'ready', 'degraded', 'stopping', 'stopped', 'failed'] satisfies Phase[];
const CONDITIONS: readonly string[] = ['starting', 'ready', 'draining', 'ending', 'waiting'] satisfies Condition[];

/** What a notebook keeps, or null where it is not what this version of the screens writes. */
export function pictureOf(data: unknown): Picture | null {
  const { version, at, title, cluster } = fields(data);
  if (version !== 1) {
    return null;
  }
  const kept = cluster === null ? null : clusterOf(fields(cluster));
  return kept === undefined ? null : { at: number(at), title: text(title), cluster: kept };
}

function clusterOf({ name, tag, spec, status }: Fields): Cluster | undefined {
  const { uid, kind, generation, intent, options, keep_until } = fields(spec);
  const { phase, steps, instances, targets, problem, idle_since, stops_at, ready_at, versions } = fields(status);
  if (typeof name !== 'string' || typeof uid !== 'string' || !PHASES.includes(text(phase))) {
    return undefined;
  }
  return {
    name,
    tag: text(tag),
    dashboards: {}, // there is nothing to open
    spec: {
      uid,
      kind: text(kind),
      generation: number(generation),
      intent: intent === 'stop' ? 'stop' : 'run',
      options: optionsOf(fields(options)),
      keep_until: moment(keep_until)
    },
    status: {
      phase: phase as Phase,
      steps: (Array.isArray(steps) ? steps : []).map(one => stepOf(fields(one))),
      instances: each(instances, one => instanceOf(fields(one))),
      targets: each(targets, number),
      problem: problem ? problemOf(fields(problem)) : null,
      idle_since: moment(idle_since),
      stops_at: moment(stops_at),
      ready_at: moment(ready_at),
      versions: each(versions, text)
    }
  };
}

function optionsOf({ workers, adapt }: Fields): Options {
  const { minimum, maximum } = fields(adapt);
  const bounds = typeof minimum === 'number' && typeof maximum === 'number' ? { minimum, maximum } : null;
  return { workers: number(workers), adapt: bounds as Json };
}

function stepOf({ name, started, ended, usually }: Fields): Step {
  return { name: text(name), started: number(started), ended: moment(ended), usually: moment(usually) };
}

function instanceOf({ role, group, condition, cores, memory }: Fields): Instance {
  return {
    role: text(role),
    group: typeof group === 'string' ? group : null,
    condition: CONDITIONS.includes(text(condition)) ? (condition as Condition) : 'waiting',
    cores: number(cores),
    memory: number(memory)
  };
}

function problemOf({ code, message, cause, remedy }: Fields): Problem {
  return { code: text(code), message: text(message), cause: text(cause), remedy: text(remedy) };
}

type Fields = { readonly [name: string]: unknown };

function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function each<T>(value: unknown, read: (item: unknown) => T): { readonly [name: string]: T } {
  return Object.fromEntries(Object.entries(fields(value)).map(([name, item]) => [name, read(item)]));
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function number(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}

function moment(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}
