/** Remedies that can be pressed: options with which what was refused would do, as words, in a form and as a change. Pure. */

import { optionTitle, resolved } from './options';
import type { Change, Json, Options, Problem, Schema } from './records';
import { size, type Translator } from './words';

/** The options of a remedy in words, from the titles that the kind gives them: `18 workers`, `memory 512 MiB`; empty if there is none. */
export function remedyWords({ retry = {} }: Problem, schema: Schema | undefined, trans: Translator): string {
  return Object.entries(retry)
    .map(([path, value]) => option(path.split('.'), value, schema, trans))
    .join(', ');
}

function option(path: readonly string[], value: Json, root: Schema | undefined, trans: Translator): string {
  const schema = root && at(path, root);
  const title = optionTitle(schema?.title ?? (path.at(-1) ?? '').replaceAll('_', ' '));
  // Within a sentence; what is no word of its own, such as GPUs, stays as it is.
  const name = /^.[A-Z]/.test(title) ? title : title.charAt(0).toLowerCase() + title.slice(1);
  const said = countable(name, value) ? `${value} ${value === 1 ? name.slice(0, -1) : name}` : `${name} ${shown(value, schema, trans)}`;
  return path[0] === 'groups' && path[1] !== undefined ? trans.__('%1 of %2', said, path[1]) : said;
}

/** Whether so many of them can be said: `18 workers`, `1 core`. */
function countable(name: string, value: Json): value is number {
  return Number.isInteger(value) && /[^s]s$/.test(name);
}

function shown(value: Json, schema: Schema | undefined, trans: Translator): string {
  if (typeof value === 'number' && schema?.format === 'memory') {
    return size(value);
  }
  if (typeof value === 'object' && value !== null && 'minimum' in value && 'maximum' in value) {
    return trans.__('%1 to %2', String(value.minimum), String(value.maximum));
  }
  return typeof value === 'string' || typeof value === 'number' ? String(value) : JSON.stringify(value);
}

/** The schema of the option that a path leads to. */
function at(path: readonly string[], root: Schema): Schema | undefined {
  let found: Schema = root;
  for (const part of path) {
    const within = resolved(found, root);
    const others = typeof within.additionalProperties === 'object' ? within.additionalProperties : undefined;
    const next = within.properties && Object.hasOwn(within.properties, part) ? within.properties[part] : others;
    if (next === undefined) {
      return undefined;
    }
    const branch = next.format === undefined ? next.anyOf?.find(({ type }) => type !== 'null') : undefined;
    found = branch ? { ...resolved(branch, root), ...next } : next;
  }
  return resolved(found, root);
}

/** Options with those of a remedy. */
export function remedied(options: Options, retry: Options = {}): Options {
  return Object.entries(retry).reduce((made, [path, value]) => put(made, path.split('.'), value), options);
}

function put(options: Options, [first = '', ...rest]: readonly string[], value: Json): Options {
  const inner = options[first];
  const below = typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? (inner as Options) : {};
  return { ...options, [first]: rest.length ? put(below, rest, value) : value };
}

/** What can be changed of a cluster that is there: its sizes, and until when it is kept. */
const CHANGED = /^(?:groups\.[^.]+\.)?(?:workers|adapt)$|^keep_until$/;

/** The change of a cluster that is the remedy; null if only another cluster can have these options. */
export function remedyChange({ retry = {} }: Problem): Change | null {
  const paths = Object.keys(retry);
  return paths.length > 0 && paths.every(path => CHANGED.test(path)) ? remedied({}, retry) : null;
}
