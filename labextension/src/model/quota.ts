/** What a request takes, and what may be held: the arithmetic of `jupyter_dodas.limits`. */

import type { Json, Options, Quota, Schema, Share } from './records';
import { size, type Translator } from './words';

const ORDER: readonly (keyof Share)[] = ['cores', 'memory', 'workers', 'clusters'];

/** What a cluster with these options takes at the least, and at the most if its workers follow the work. */
export function shares(options: Options): { readonly least: Share; readonly most: Share } {
  const groups = [options, ...Object.values(asObject(options['groups']))].map(asObject);
  return { least: sum(groups, 'minimum'), most: sum(groups, 'maximum') };
}

function sum(groups: readonly Options[], bound: 'minimum' | 'maximum'): Share {
  return groups.reduce<Share>(
    (total, group) => {
      const adapt = group['adapt'];
      const workers = typeof adapt === 'object' && adapt !== null ? number(asObject(adapt)[bound]) : number(group['workers']);
      return {
        clusters: 1,
        workers: total.workers + workers,
        cores: total.cores + workers * number(group['cores']),
        memory: total.memory + workers * (bytes(group['memory']) ?? 0)
      };
    },
    { clusters: 1, workers: 0, cores: 0, memory: 0 }
  );
}

/** Options with the defaults of their schema where nothing was said. */
export function withDefaults(schema: Schema, options: Options): Options {
  const defaults = Object.entries(schema.properties ?? {}).flatMap(([name, { default: value }]) =>
    value === undefined ? [] : [[name, value] as const]
  );
  const group = schema.$defs?.['GroupOptions'];
  const groups = Object.entries(asObject(options['groups'])).map(
    ([name, asked]) => [name, group ? withDefaults(group, asObject(asked)) : asked] as const
  );
  return { ...Object.fromEntries(defaults), ...options, ...(groups.length ? { groups: Object.fromEntries(groups) } : {}) };
}

const UNIT: { readonly [unit: string]: number } = Object.fromEntries(
  ['', 'k', 'm', 'g', 't', 'p'].flatMap((prefix, power) => [
    [`${prefix}b`, 1000 ** power],
    [`${prefix}ib`, 1024 ** power],
    ...(prefix ? [[prefix, 1000 ** power]] : [])
  ])
);

/** An amount of memory, from a number or words as Python reads them: `2 GiB`, `500MB`; undefined if it is none. */
export function bytes(value: Json | undefined): number | undefined {
  if (typeof value === 'number') {
    return value;
  }
  const [, amount, unit] = /^\s*(\d*\.?\d+)\s*(\w*)\s*$/.exec(typeof value === 'string' ? value : '') ?? [];
  const factor = UNIT[(unit || 'b').toLowerCase()];
  return amount === undefined || factor === undefined ? undefined : Math.round(Number(amount) * factor);
}

/** One thing that is limited. */
export interface Row {
  readonly thing: keyof Share;
  readonly used: number;
  readonly asked: number;
  readonly limit: number;
}

/** What is limited, what is asked for most first. */
export function rows(quota: Quota, asked?: Share): readonly Row[] {
  return ORDER.flatMap(thing => {
    const limit = quota.limits[thing];
    return limit === null ? [] : [{ thing, used: quota.used[thing], asked: asked?.[thing] ?? 0, limit }];
  });
}

/** So much of it, in words: `14 of 32 cores`, `14 + 8 of 32 cores`. */
export function told(row: Row, trans: Translator): string {
  const amount = (n: number): string => (row.thing === 'memory' ? size(n) : String(n));
  const used = row.asked ? `${amount(row.used)} + ${amount(row.asked)}` : amount(row.used);
  const limit = amount(row.limit);
  switch (row.thing) {
    case 'cores':
      return trans.__('%1 of %2 cores', used, limit);
    case 'memory':
      return trans.__('%1 of %2', used, limit);
    case 'workers':
      return trans.__('%1 of %2 workers', used, limit);
    case 'clusters':
      return trans.__('%1 of %2 clusters', used, limit);
  }
}

function asObject(value: Json | undefined): Options {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Options) : {};
}

function number(value: Json | undefined): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}
