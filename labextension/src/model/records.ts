/** What goes over the wire, as docs/reference/rest.md has it: only what the screens read. Times are Unix seconds, sizes bytes. */

export type Phase = 'pending' | 'starting' | 'ready' | 'degraded' | 'stopping' | 'stopped' | 'failed';

export type Condition = 'starting' | 'ready' | 'draining' | 'ending' | 'waiting';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export type Options = { readonly [name: string]: Json };

/** What is wrong, why, and what to do. */
export interface Problem {
  readonly code: string;
  readonly message: string;
  readonly cause: string;
  readonly remedy: string;
  readonly retryable?: boolean;
  /** Options with which it would do, by their paths with dots. */
  readonly retry?: Options;
  /** Of a request that was refused: which option is to blame, as a path with dots. */
  readonly option?: string;
}

export interface Step {
  readonly name: string;
  readonly started: number;
  readonly ended: number | null;
  readonly usually: number | null;
}

export interface Instance {
  readonly role: string;
  readonly group: string | null;
  readonly condition: Condition;
  readonly cores: number;
  readonly memory: number;
}

export interface Spec {
  readonly uid: string;
  readonly kind: string;
  readonly generation: number;
  readonly intent: 'run' | 'stop';
  readonly options: Options;
  readonly keep_until: number | null;
}

export interface Status {
  readonly phase: Phase;
  readonly steps: readonly Step[];
  readonly instances: { readonly [name: string]: Instance };
  readonly targets: { readonly [group: string]: number };
  readonly problem: Problem | null;
  readonly idle_since: number | null;
  readonly stops_at: number | null;
  readonly ready_at: number | null;
  readonly versions: { readonly [name: string]: string };
  readonly addresses?: { readonly [name: string]: string };
}

export interface Cluster {
  readonly name: string;
  readonly tag: string;
  readonly dashboards: { readonly [name: string]: string };
  readonly spec: Spec;
  readonly status: Status;
}

/** A kind of cluster that can be launched; `options` is the JSON Schema of what it can be asked for. */
export interface Kind {
  readonly kind: string;
  readonly title: string;
  readonly summary: string;
  readonly worker: string;
  /** Python that makes something of `cluster` to work with. */
  readonly snippet: string;
  /** Python that shows it at work, after that; empty if there is none. */
  readonly example: string;
  readonly options: Schema;
  /** What a card of this kind shows besides: the name of one of the panels. */
  readonly panel?: string;
  /** Seconds until one is ready, as the last ones took. */
  readonly usually?: number | null;
}

export interface Share {
  readonly clusters: number;
  readonly workers: number;
  readonly cores: number;
  readonly memory: number;
}

export type Limits = { readonly [thing in keyof Share]: number | null };

export interface Quota {
  readonly limits: Limits;
  readonly used: Share;
  readonly enforced: boolean;
  readonly groups: readonly string[];
}

/** What the workers of a cluster use now. */
export interface Load {
  readonly cores: number;
  readonly memory: number;
}

export type Loads = { readonly [cluster: string]: Load };

/** What a cluster took from its start to its end. */
export interface Receipt {
  readonly uid: string;
  readonly name: string;
  readonly core_seconds: number;
  readonly wall_seconds: number;
}

export interface LogLine {
  readonly instance: string;
  readonly line: string;
}

/** Workers that are so many, or follow the work between two bounds. */
export type Size = { readonly workers: number } | { readonly adapt: Bounds | null };

export interface Bounds {
  readonly minimum: number;
  readonly maximum: number;
}

export type Change = (Size | object) & {
  readonly groups?: { readonly [name: string]: Size }; readonly keep_until?: number | null; readonly restart?: true };

/** The part of JSON Schema that pydantic writes for options. */
export interface Schema {
  readonly $ref?: string;
  readonly $defs?: { readonly [name: string]: Schema };
  readonly title?: string;
  readonly description?: string;
  readonly default?: Json;
  readonly type?: string | readonly string[];
  readonly format?: string;
  readonly enum?: readonly Json[];
  readonly const?: Json;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly properties?: { readonly [name: string]: Schema };
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
}
