/**
 * A look at values through the part of JSON Schema that pydantic writes for options. Pure, and without `new Function`, which pages with a
 * content security policy forbid and ajv needs. The server has the last word; this one only says earlier what it would say.
 */

import { resolved } from './options';
import type { Json, Options, Schema } from './records';
import { bytes } from './quota';
import { size, type Translator } from './words';

/** What is wrong with the value at a path. */
export interface Fault {
  readonly path: readonly (string | number)[];
  readonly keyword: string;
  readonly message: string;
}

/** Everything that is wrong with a value. */
export function faults(schema: Schema, value: Json | undefined, root: Schema, trans: Translator): readonly Fault[] {
  return [...found(schema, value, root, trans, [])];
}

type Path = readonly (string | number)[];

/** Deeper than any value: a schema that refers to itself without end finds nothing wrong. */
const DEEPEST = 64;

function* found(given: Schema, value: Json | undefined, root: Schema, trans: Translator, path: Path, depth = 0): Generator<Fault> {
  if (value === undefined || depth > DEEPEST) {
    return;
  }
  const schema = resolved(given, root);
  const fault = (keyword: string, message: string): Fault => ({ path, keyword, message });
  if (schema.format === 'memory') {
    yield* ofMemory(schema, value, trans, fault);
    return;
  }
  for (const part of schema.allOf ?? []) {
    yield* found(part, value, root, trans, path, depth + 1);
  }
  const branches = schema.anyOf ?? schema.oneOf;
  if (branches) {
    const failed = branches.map(branch => [...found(branch, value, root, trans, path, depth + 1)]);
    if (failed.every(all => all.length)) {
      // The branch that the value comes nearest to explains it: what is of its type, else the first.
      yield* failed.find(all => all.every(({ keyword }) => keyword !== 'type')) ?? failed[0] ?? [];
      return;
    }
  }
  const types = schema.type === undefined ? [] : [schema.type].flat();
  if (types.length && !types.some(type => isOfType(value, type))) {
    yield fault('type', typeNeeded(types[0] as string, trans));
    return;
  }
  if (schema.const !== undefined && !equal(schema.const, value)) {
    yield fault('const', trans.__('It must be %1.', JSON.stringify(schema.const)));
  }
  if (schema.enum && !schema.enum.some(one => equal(one, value))) {
    yield fault('enum', trans.__('Choose one of: %1.', schema.enum.map(String).join(', ')));
  }
  if (typeof value === 'number') {
    yield* ofNumber(schema, value, trans, fault);
  } else if (typeof value === 'string') {
    yield* ofText(schema, value, trans, fault);
  } else if (Array.isArray(value)) {
    if (value.length < (schema.minItems ?? 0)) {
      yield fault('minItems', trans.__('Give at least %1.', schema.minItems ?? 0));
    }
    if (value.length > (schema.maxItems ?? Infinity)) {
      yield fault('maxItems', trans.__('Give at most %1.', schema.maxItems ?? 0));
    }
    for (const [at, item] of value.entries()) {
      yield* found(schema.items ?? {}, item as Json, root, trans, [...path, at]);
    }
  } else if (typeof value === 'object' && value !== null) {
    yield* ofObject(schema, value as Options, root, trans, path);
  }
}

type Make = (keyword: string, message: string) => Fault;

function* ofNumber(schema: Schema, value: number, trans: Translator, fault: Make): Generator<Fault> {
  if (value < (schema.minimum ?? -Infinity)) {
    yield fault('minimum', trans.__('Give at least %1.', schema.minimum ?? 0));
  }
  if (value > (schema.maximum ?? Infinity)) {
    yield fault('maximum', trans.__('Give at most %1.', schema.maximum ?? 0));
  }
  if (value <= (schema.exclusiveMinimum ?? -Infinity)) {
    yield fault('exclusiveMinimum', trans.__('Give more than %1.', schema.exclusiveMinimum ?? 0));
  }
  if (value >= (schema.exclusiveMaximum ?? Infinity)) {
    yield fault('exclusiveMaximum', trans.__('Give less than %1.', schema.exclusiveMaximum ?? 0));
  }
}

function* ofText(schema: Schema, value: string, trans: Translator, fault: Make): Generator<Fault> {
  const length = [...value].length;
  if (length < (schema.minLength ?? 0)) {
    yield fault('minLength', trans.__('Write at least %1 characters.', schema.minLength ?? 0));
  }
  if (length > (schema.maxLength ?? Infinity)) {
    yield fault('maxLength', trans.__('Write at most %1 characters.', schema.maxLength ?? 0));
  }
  if (schema.pattern !== undefined && pattern(schema.pattern)?.test(value) === false) {
    yield fault('pattern', trans.__('It is not written as needed: %1', schema.pattern));
  }
}

function* ofMemory(schema: Schema, value: Json, trans: Translator, fault: Make): Generator<Fault> {
  const amount = bytes(value);
  if (amount === undefined) {
    yield fault('type', trans.__('Write a number and a unit: 512 MiB, 2 GiB, 2 GB.'));
  } else if (amount < (schema.minimum ?? 0)) {
    yield fault('minimum', trans.__('Give at least %1.', size(schema.minimum ?? 0)));
  } else if (amount > (schema.maximum ?? Infinity)) {
    yield fault('maximum', trans.__('Give at most %1.', size(schema.maximum ?? 0)));
  }
}

function* ofObject(schema: Schema, value: Options, root: Schema, trans: Translator, path: Path): Generator<Fault> {
  for (const name of schema.required ?? []) {
    if (value[name] === undefined) {
      yield { path: [...path, name], keyword: 'required', message: trans.__('This is needed.') };
    }
  }
  for (const [name, item] of Object.entries(value)) {
    const known = schema.properties && Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined;
    if (known !== undefined) {
      yield* found(known, item, root, trans, [...path, name]);
    } else if (schema.additionalProperties === false) {
      yield { path: [...path, name], keyword: 'additionalProperties', message: trans.__('There is no such option.') };
    } else if (typeof schema.additionalProperties === 'object') {
      yield* found(schema.additionalProperties, item, root, trans, [...path, name]);
    }
  }
}

function isOfType(value: Json, type: string): boolean {
  switch (type) {
    case 'null':
      return value === null;
    case 'integer':
      return Number.isInteger(value);
    case 'array':
      return Array.isArray(value);
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value);
    default:
      return typeof value === type;
  }
}

function typeNeeded(type: string, trans: Translator): string {
  switch (type) {
    case 'integer':
      return trans.__('Give a whole number.');
    case 'number':
      return trans.__('Give a number.');
    default:
      return trans.__('It must be of type %1.', type);
  }
}

/** A pattern, unless it is one of Python that JavaScript cannot read; the server knows it. */
function pattern(source: string): RegExp | undefined {
  try {
    return new RegExp(source, 'u');
  } catch {
    return undefined;
  }
}

function equal(a: Json, b: Json): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
