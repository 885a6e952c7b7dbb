/** A schema as a form draws it: fields that may be empty instead of choices between something and nothing. Pure. */

import { bytes } from './quota';
import { optionTitle, resolved } from './options';
import type { Json, Options, Schema } from './records';
import { size } from './words';

/** Options that nearly everybody looks at; all others stand under More. */
export const FIRST: readonly string[] = ['workers', 'cores', 'memory', 'gpus', 'adapt', 'image'];

/**
 * The schema for the form: what may be null may be left out instead, an amount of memory is a text, and names are words.
 */
export function formSchema(schema: Schema): Schema {
  return simple(schema);
}

function simple(schema: Schema): Schema {
  const { $defs, properties, additionalProperties, items, anyOf, ...rest } = schema;
  const made = {
    ...rest,
    ...($defs && { $defs: each($defs) }),
    ...(properties && { properties: each(properties) }),
    ...(additionalProperties !== undefined && {
      additionalProperties: typeof additionalProperties === 'object' ? simple(additionalProperties) : additionalProperties
    }),
    ...(items && { items: simple(items) }),
    ...(rest.title && { title: optionTitle(rest.title) })
  };
  if (schema.format === 'memory') {
    const { pattern: _, default: amount, ...memory } = made;
    return { ...memory, type: 'string', ...(typeof amount === 'number' && { default: size(amount) }) };
  }
  if (!anyOf) {
    return made;
  }
  const branches = anyOf.filter(branch => branch.type !== 'null');
  if (branches.length === 1 && branches[0]) {
    const { default: value, ...without } = made;
    return { ...simple(branches[0]), ...without, ...(value !== undefined && value !== null && { default: value }) };
  }
  return { ...made, anyOf: branches.map(simple) };
}

function each(schemas: { readonly [name: string]: Schema }): { [name: string]: Schema } {
  return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, simple(schema)]));
}

/** Options as the form shows them: without what is null, which is an empty field, and with memory in words. */
export function shown(schema: Schema, options: Options): Options {
  const { properties = {} } = schema;
  const kept = Object.entries(options).flatMap(([name, value]) => {
    if (value === null) {
      return [];
    }
    const inWords = properties[name]?.format === 'memory' && typeof value === 'number';
    return [[name, inWords ? size(value) : withoutNull(value)] as const];
  });
  return Object.fromEntries(kept);
}

function withoutNull(value: Json): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return value;
  }
  const kept = Object.entries(value as Options).filter(([, item]) => item !== null);
  return Object.fromEntries(kept.map(([name, item]) => [name, withoutNull(item)]));
}

/** Where a form lets somebody choose whether there shall be an object at all, in the words of RJSF's `uiSchema`. */
export function choices(schema: Schema, root: Schema = schema, depth = 0): { [name: string]: unknown } {
  const { properties = {}, additionalProperties } = resolved(schema, root);
  if (depth > DEEPEST) {
    return {};
  }
  const marks = Object.entries(properties).map(([name, property]) => {
    const branch = property.anyOf?.find(one => one.type !== 'null') ?? property;
    const mark = nullable(property) ? { 'ui:enableOptionalDataFieldForType': ['object'] } : {};
    return [name, { ...choices(branch, root, depth + 1), ...mark }] as const;
  });
  const others = typeof additionalProperties === 'object' ? { additionalProperties: choices(additionalProperties, root, depth + 1) } : {};
  return { ...Object.fromEntries(marks), ...others };
}

/** A form that is deeper than this is nothing that one can fill in. */
const DEEPEST = 8;

/** What of a form differs from the defaults of the kind: that is what is asked for, and what Python shows. */
export function given(schema: Schema, values: Options): Options {
  const properties = schema.properties ?? {};
  const said = Object.entries(values).flatMap(([name, value]) => {
    const usual = properties[name]?.default;
    // A field that was emptied of its default asks for none, where the schema allows that.
    const asked = value === undefined && usual !== null && usual !== undefined && nullable(properties[name]) ? null : value;
    const trimmed = asked === undefined ? undefined : pruned(asked, usual);
    return trimmed === undefined || same(trimmed, usual, properties[name]) ? [] : [[name, trimmed] as const];
  });
  return Object.fromEntries(said);
}

function nullable(schema: Schema | undefined): boolean {
  return schema?.anyOf?.some(branch => branch.type === 'null') ?? false;
}

/** Without what is empty, and without what its default says already. */
function pruned(value: Json, usual: Json | undefined): Json | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return value;
  }
  const defaults = (typeof usual === 'object' && usual !== null ? usual : {}) as Options;
  const kept = Object.entries(value).filter(([name, item]) => item !== undefined && !same(item as Json, defaults[name]));
  return kept.length ? Object.fromEntries(kept) : usual === undefined || usual === null ? undefined : {};
}

function same(value: Json, usual: Json | undefined, schema?: Schema): boolean {
  if (schema?.format === 'memory') {
    const [a, b] = [bytes(value), bytes(usual)];
    // Defaults are shown rounded to what people read.
    return a !== undefined && b !== undefined && (a === b || size(a) === size(b));
  }
  return JSON.stringify(value) === JSON.stringify(usual) || (isEmpty(value) && (isEmpty(usual) || typeof usual === 'object'));
}

function isEmpty(value: Json | undefined): boolean {
  return value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0);
}
