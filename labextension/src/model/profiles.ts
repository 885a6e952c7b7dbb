/** What people choose from when they start a notebook: profiles, as the hub writes them into its page. Pure. */

import type { Json, Options, Problem, Schema } from './records';
import { lasting, type Translator } from './words';

export interface Profile {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  /** Seconds that a start took before. */
  readonly usually: number | null;
  /** Whether it was chosen the last time. */
  readonly last: boolean;
  readonly schema: Schema;
  /** What is made for it, by what is chosen; empty: nothing is. */
  readonly plans: readonly Plan[];
}

/** What is made with a choice of inputs, in words. */
export interface Plan {
  readonly inputs: Options;
  /** Its name and version. */
  readonly template: string;
  readonly machines: readonly { readonly name: string; readonly size: string }[];
  readonly stays: string;
}

/** All that the form begins with. */
export interface Offer {
  readonly profiles: readonly Profile[];
  /** The profile, and what is chosen within it. */
  readonly chosen: Options;
  /** Why the last choice was not taken. */
  readonly refused: Problem | null;
}

/** The field of the form that says which profile it is. */
export const PROFILE = 'profile';

/** What stands before the name of an input of what is made for a profile. */
export const INPUT = 'input_';

/** The options of a profile with which there is something to choose; the others are as they are. */
export function open(profile: Profile): Schema {
  const { properties = {}, required: _, ...rest } = profile.schema;
  const kept = Object.entries(properties).filter(([name, property]) => name !== PROFILE && (property.enum?.length ?? 0) > 1);
  return { ...rest, properties: Object.fromEntries(kept) };
}

/** What is had of a profile: what was chosen as far as it is offered, and the defaults. */
export function had(profile: Profile, chosen: Options): Options {
  const { properties = {} } = profile.schema;
  return Object.fromEntries(
    Object.entries(properties).flatMap(([name, property]) => {
      const asked = chosen[name];
      const value = asked !== undefined && property.enum?.includes(asked) ? asked : property.default;
      return name === PROFILE || value === undefined ? [] : [[name, value] as const];
    })
  );
}

/** What is made with what is chosen of a profile. */
export function planned({ plans }: Profile, values: Options): Plan | undefined {
  return plans.find(({ inputs }) => Object.entries(inputs).every(([name, value]) => values[name] === value));
}

/** What a profile takes, in words: of what there is a choice, the first and the last that is offered. */
export function takes(profile: Profile, trans: Translator, values?: Options): string {
  const parts = Object.entries(profile.schema.properties ?? {}).flatMap(([name, property]) => {
    const offered = values?.[name] !== undefined ? [values[name]] : (property.enum ?? [property.const]);
    const [first, last] = [offered[0], offered.at(-1)];
    // Of images there is no first and last; and where there is one only, its name says nothing to anybody who starts a notebook.
    const vague = name === 'image' && (first !== last || (property.enum?.length ?? 1) === 1);
    if (name === PROFILE || name.startsWith(INPUT) || first === undefined || last === undefined || vague) {
      return [];
    }
    return first === last ? [amount(name, first, trans)] : [trans.__('%1 to %2', String(first), amount(name, last, trans))];
  });
  return parts.join(', ');
}

function amount(name: string, value: Json, trans: Translator): string {
  return name === 'cores' && typeof value === 'number' ? trans._n('%1 core', '%1 cores', value) : String(value);
}

/** What is to be known of a profile, in sentences. */
export function about(profile: Profile, trans: Translator, values?: Options): string {
  const usually = profile.usually === null ? '' : trans.__('Usually %1', lasting(profile.usually));
  const said = [profile.description, takes(profile, trans, values), usually];
  return said.map(part => part.replace(/\.+$/, '')).filter(part => part !== '').map(part => `${part}.`).join(' ');
}
