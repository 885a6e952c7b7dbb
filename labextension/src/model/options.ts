/** Options in a schema: what a reference leads to, and what they are called. Pure, and small: all screens need it. */

import type { Schema } from './records';

/** The schema that `$ref` leads to, with what stands beside it. References to anywhere else lead to nothing in particular. */
export function resolved(schema: Schema, root: Schema): Schema {
  let found = schema;
  for (let hops = 0; found.$ref !== undefined && hops < 32; hops++) {
    const { $ref, ...beside } = found;
    const name = $ref.replace(/^#\/\$defs\//, '');
    found = { ...(root.$defs?.[name] ?? {}), ...beside };
  }
  return found;
}

/** `Idle Timeout` as `Idle timeout`; `Gpus`, as pydantic writes it, as `GPUs`. */
export function optionTitle(title: string): string {
  const lower = title.charAt(0) + title.slice(1).toLowerCase();
  return lower.replace(/\bgpus\b/i, 'GPUs');
}
