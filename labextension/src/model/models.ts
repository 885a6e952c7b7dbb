/** The models of an endpoint, as its server tells of them, and what can be said of them in words. */

import { clock, type Translator } from './words';

/** How fast a version answered: rows in a request, and clients that asked at the same time. */
export interface Measurement {
  readonly batch: number;
  readonly clients: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly rows_per_second: number;
}

export type VersionState = 'published' | 'staged' | 'earlier';

export interface Version {
  readonly version: string;
  readonly state: VersionState;
  readonly engine: string;
  readonly created: number;
  readonly owner: string;
  readonly note: string;
  readonly metrics: { readonly [name: string]: number };
  readonly benchmark: readonly Measurement[];
}

export interface Traffic {
  readonly requests: number;
  readonly failures: number;
  readonly perSecond: number;
  readonly p50: number | null;
}

export interface Model {
  readonly name: string;
  readonly published: string | null;
  /** Newest first. */
  readonly versions: readonly Version[];
  readonly traffic: Traffic;
}

/** What an endpoint is asked: its models, and to publish another version of one. */
export interface Endpoint {
  models(): Promise<readonly Model[]>;
  publish(model: string, version: string): Promise<unknown>;
  rollback(model: string): Promise<unknown>;
}

type Fields = { readonly [name: string]: unknown };

/** Reads what `GET /dodas/v1/models` tells; what is not as it should be is left out. */
export function modelsOf(told: unknown): readonly Model[] {
  return list(fields(told)['models']).flatMap(one => {
    const { model, published, versions, traffic } = fields(one);
    if (typeof model !== 'string') {
      return [];
    }
    const { requests, failures, per_second, p50_ms } = fields(traffic);
    return {
      name: model,
      published: typeof published === 'string' ? published : null,
      versions: list(versions).flatMap(versionOf),
      traffic: { requests: number(requests), failures: number(failures), perSecond: number(per_second), p50: maybe(p50_ms) }
    };
  });
}

function versionOf(told: unknown): readonly Version[] {
  const { version, state, engine, lineage, benchmark } = fields(told);
  if (typeof version !== 'string') {
    return [];
  }
  const { created, owner, note, metrics } = fields(lineage);
  const known = Object.entries(fields(metrics)).filter((pair): pair is [string, number] => typeof pair[1] === 'number');
  return [
    {
      version,
      state: state === 'published' || state === 'staged' ? state : 'earlier',
      engine: text(engine),
      created: number(created),
      owner: text(owner),
      note: text(note),
      metrics: Object.fromEntries(known),
      benchmark: list(benchmark).map(row => {
        const { batch, clients, p50_ms, p99_ms, rows_per_second } = fields(row);
        return {
          batch: number(batch),
          clients: number(clients),
          p50_ms: number(p50_ms),
          p99_ms: number(p99_ms),
          rows_per_second: number(rows_per_second)
        };
      })
    }
  ];
}

/** What is asked of a model, in short: `1,204 requests`, `3.5 a second`, `0.31 ms`. */
export function trafficWords({ requests, failures, perSecond, p50 }: Traffic, trans: Translator): readonly string[] {
  if (requests === 0) {
    return [trans.__('No requests yet')];
  }
  return [
    trans._n('%1 request', '%1 requests', requests),
    ...(failures > 0 ? [trans._n('%1 failed', '%1 failed', failures)] : []),
    ...(perSecond > 0 ? [trans.__('%1 a second', short(perSecond))] : []),
    ...(p50 !== null ? [trans.__('half within %1 ms', short(p50))] : [])
  ];
}

/** What its maker says of a version, and when it was made. */
export function madeWords({ created, note, metrics }: Version, now: number): string {
  const numbers = Object.entries(metrics).map(([name, value]) => `${name} ${short(value)}`);
  return [...(created > 0 ? [clock(created, now)] : []), ...numbers, note].filter(part => part !== '').join(' · ');
}

/** A number, as exact as one looks at it: `0.31`, `12`, `3,400`. */
export function short(value: number): string {
  const rounded = value >= 100 ? Math.round(value) : Number(value.toPrecision(value >= 10 ? 3 : 2));
  return rounded.toLocaleString('en');
}

/** Whether there is an earlier version to go back to. */
export function canRollBack({ published, versions }: Model): boolean {
  return published !== null && versions.some(({ state }) => state === 'earlier');
}

function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function maybe(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function number(value: unknown): number {
  return maybe(value) ?? 0;
}
