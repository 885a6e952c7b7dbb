/** What there is to tell of a cluster, in words (`jupyter_dodas.display.view` tells the same in Python). Pure: the time is an argument. */

import type { Bounds, Change, Cluster, Condition, Json, Load, Options, Phase, Problem, Step } from './records';
import { clock, lasting, size, type Translator } from './words';

/** What a colour may underline; the words and shapes say it as well. */
export type Tone = 'quiet' | 'busy' | 'good' | 'warn' | 'bad';

/** A shape and a colour for something that is named beside it. */
export interface Mark {
  readonly shape: string;
  readonly tone: Tone;
}

export const MARKS: { readonly [phase in Phase]: Mark } = {
  pending: { shape: '○', tone: 'quiet' },
  starting: { shape: '◐', tone: 'busy' },
  ready: { shape: '●', tone: 'good' },
  degraded: { shape: '▲', tone: 'warn' },
  stopping: { shape: '◌', tone: 'quiet' },
  stopped: { shape: '□', tone: 'quiet' },
  failed: { shape: '✕', tone: 'bad' }
};

/** One named part of a launch; `time` is what it took, or what it usually takes. */
export interface StepView {
  readonly mark: Mark;
  readonly name: string;
  readonly time: string;
  readonly now: boolean;
}

/** A cluster in words. */
export interface View {
  readonly phase: string;
  readonly mark: Mark;
  /** How big it is, and since when it is up: `2 of 4 workers`, `2 cores`, `since 14:02`. */
  readonly facts: readonly string[];
  /** The parts of its launch, while it is launched or when that failed. */
  readonly steps: readonly StepView[];
  /** Of each worker, for a picture of them all. */
  readonly workers: readonly { readonly name: string; readonly condition: Condition }[];
  readonly ready: number;
  /** Cores that its workers hold. */
  readonly cores: number;
  readonly problem: Problem | null;
  /** A sentence about something to come, such as a stop for idleness. */
  readonly note: string;
  /** Whether that is a warning. */
  readonly ending: boolean;
  /** What can be asked of it now. */
  readonly can: { readonly scale: boolean; readonly use: boolean; readonly restart: boolean; readonly cancel: boolean };
}

export function view(cluster: Cluster, now: number, trans: Translator, used?: Load): View {
  const { spec, status } = cluster;
  const phase = spec.intent === 'stop' && status.phase !== 'stopped' ? 'stopping' : status.phase;
  const warned = phase === 'ready' && (status.stops_at !== null || status.problem !== null);
  const workers = Object.entries(status.instances).filter(([, instance]) => instance.group !== null);
  const launching = phase === 'pending' || phase === 'starting';
  return {
    phase: phaseName(phase, trans),
    mark: warned ? { ...MARKS.ready, tone: 'warn' } : MARKS[phase],
    facts: facts(cluster, now, trans, used),
    steps: launching || (phase === 'failed' && status.ready_at === null) ? status.steps.map(s => step(s, phase, trans)) : [],
    workers: workers.map(([name, { condition }]) => ({ name, condition })),
    cores: workers.reduce((sum, [, { cores }]) => sum + cores, 0),
    ready: workers.filter(([, { condition }]) => condition === 'ready').length,
    problem: status.problem,
    note: note(cluster, now, trans),
    ending: status.stops_at !== null,
    can: {
      scale: phase === 'ready' || phase === 'degraded' || launching,
      use: phase === 'ready' || phase === 'degraded',
      restart: phase === 'ready' || phase === 'degraded' || phase === 'failed',
      cancel: launching
    }
  };
}

export function phaseName(phase: Phase, trans: Translator): string {
  switch (phase) {
    case 'pending':
      return trans.__('Pending');
    case 'starting':
      return trans.__('Starting');
    case 'ready':
      return trans.__('Ready');
    case 'degraded':
      return trans.__('Degraded');
    case 'stopping':
      return trans.__('Stopping');
    case 'stopped':
      return trans.__('Stopped');
    case 'failed':
      return trans.__('Failed');
  }
}

/** Workers of one shape: how many were asked for, or what the work has them at, between bounds. */
export interface Group {
  readonly name: string;
  readonly workers: number;
  readonly bounds: Bounds | null;
}

/** The groups of a cluster, its own first. */
export function groups(cluster: Cluster): readonly Group[] {
  const others = cluster.spec.options['groups'];
  const named = isObject(others) ? Object.entries(others) : [];
  return [own(cluster), ...named.map(([name, options]) => group(name, isObject(options) ? options : {}, cluster))];
}

/** The workers that every cluster has. */
export function own(cluster: Cluster): Group {
  return group('worker', cluster.spec.options, cluster);
}

function group(name: string, { workers, adapt }: Options, { status }: Cluster): Group {
  const bounds = isBounds(adapt) ? adapt : null;
  return { name, bounds, workers: bounds !== null || typeof workers !== 'number' ? (status.targets[name] ?? 0) : workers };
}

function isObject(value: Json | undefined): value is Options {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isBounds(value: Json | undefined): value is Json & Bounds {
  return typeof value === 'object' && value !== null && 'minimum' in value && 'maximum' in value;
}

function facts({ spec, status }: Cluster, now: number, trans: Translator, used: Load | undefined): string[] {
  if (status.phase === 'failed') {
    return [];
  }
  const workers = Object.values(status.instances).filter(({ group }) => group !== null);
  const cores = workers.reduce((sum, worker) => sum + worker.cores, 0);
  const memory = workers.reduce((sum, worker) => sum + worker.memory, 0);
  const targets = Object.values(status.targets).reduce((sum, n) => sum + n, 0);
  const ready = workers.filter(({ condition }) => condition === 'ready').length;
  const adapt = spec.options['adapt'];
  const said = [
    Object.keys(status.targets).length === 0
      ? ''
      : ready === targets
        ? trans._n('%1 worker', '%1 workers', ready)
        : trans.__('%1 of %2 workers', ready, targets),
    isBounds(adapt) ? trans.__('adapts %1 to %2', adapt.minimum, adapt.maximum) : '',
    ...Object.entries(status.targets)
      .filter(([group]) => group !== 'worker')
      .map(([group, number]) => trans.__('%1 of them %2', number, group)),
    cores && used ? trans._n('%2 of %1 core', '%2 of %1 cores', cores, used.cores.toFixed(1)) : cores ? trans._n('%1 core', '%1 cores', cores) : '',
    memory && used ? trans.__('%1 of %2', size(used.memory), size(memory)) : memory ? size(memory) : '',
    status.ready_at !== null && workers.length ? trans.__('since %1', clock(status.ready_at, now)) : ''
  ];
  return said.filter(fact => fact !== '');
}

function step(one: Step, phase: Phase, trans: Translator): StepView {
  if (one.ended !== null) {
    return { mark: { shape: '✓', tone: 'good' }, name: one.name, time: lasting(one.ended - one.started), now: false };
  }
  if (phase === 'failed') {
    return { mark: MARKS.failed, name: one.name, time: '', now: false };
  }
  const time = one.usually ? trans.__('usually %1', lasting(one.usually)) : '';
  return { mark: MARKS.starting, name: one.name, time, now: true };
}

function note({ spec, status }: Cluster, now: number, trans: Translator): string {
  if (status.stops_at !== null) {
    const at = clock(status.stops_at, now);
    const left = lasting(Math.max(0, status.stops_at - now));
    const stop = trans.__('It stops at %1, in %2, unless it is kept.', at, left);
    return status.idle_since === null ? stop : `${trans.__('Nothing ran since %1.', clock(status.idle_since, now))} ${stop}`;
  }
  if (spec.keep_until !== null && spec.keep_until > now) {
    return trans.__('Kept until %1.', clock(spec.keep_until, now));
  }
  return '';
}

const HOUR = 3600;

/** What keeps a cluster for an hour: from now on, or on from when it is kept until. */
export function kept({ spec }: Cluster, now: number): Change {
  return { keep_until: Math.max(now, spec.keep_until ?? 0) + HOUR };
}

/** A report of what went wrong, for whoever is asked for help: words alone, no secret. */
export function report(cluster: Cluster, now: number): string {
  const { spec, status } = cluster;
  const problem = status.problem;
  const lines = [
    `${cluster.name} (${spec.kind}): ${status.phase}`,
    ...(problem ? [`${problem.code}: ${problem.message}`, problem.cause, problem.remedy && `hint: ${problem.remedy}`] : []),
    '',
    ...status.steps.map(s => `${s.ended === null ? 'not done' : lasting(s.ended - s.started).padStart(8)}  ${s.name}`),
    ...Object.entries(status.instances).map(([name, { condition }]) => `${name}: ${condition}`),
    ...Object.entries(status.versions).map(([name, version]) => `${name} ${version}`),
    '',
    `uid ${spec.uid}, generation ${spec.generation}, ${new Date(now * 1000).toISOString()}`
  ];
  return lines.filter((line, at) => line !== '' || lines[at - 1] !== '').join('\n');
}
