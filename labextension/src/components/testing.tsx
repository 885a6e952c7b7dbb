/** What tests of components share: clusters as the server shows them, and a look for what keeps people out. */

import axe from 'axe-core';
import { vi } from 'vitest';

import type { Cluster, Instance, Kind, Phase, Quota, Spec, Status } from '../model/records';

/** Text that would do harm where it is not shown as text, or break what holds it. */
export const NASTY = '<img src=x onerror="globalThis.broken=1"> & "quotes" `ticks` \u202eback to front';
export const LONG = 'x'.repeat(10_000);

export interface Made {
  readonly name?: string;
  readonly phase?: Phase;
  readonly workers?: number;
  readonly spec?: Partial<Spec>;
  readonly status?: Partial<Status>;
}

export function cluster({ name = 'higgs', phase = 'ready', workers = 2, spec, status }: Made = {}): Cluster {
  const instances: { [name: string]: Instance } = { scheduler: { role: 'scheduler', group: null, condition: 'ready', cores: 0, memory: 0 } };
  for (let n = 1; n <= workers; n++) {
    instances[`worker-${n}`] = { role: 'worker', group: 'worker', condition: 'ready', cores: 1, memory: 2 ** 31 };
  }
  return {
    name,
    tag: `uid-${name}.1`,
    dashboards: { dashboard: `clusters/${name}/ui/dashboard/` },
    spec: { uid: `uid-${name}`, kind: 'dask', generation: 1, intent: 'run', options: { workers }, keep_until: null, ...spec },
    status: {
      phase,
      steps: [],
      instances,
      targets: { worker: workers },
      problem: null,
      idle_since: null,
      stops_at: null,
      ready_at: phase === 'ready' ? 1_700_000_000 : null,
      versions: {},
      ...status
    }
  };
}

/** As pydantic writes it for Dask, shortened. */
export const DASK: Kind = {
  kind: 'dask',
  title: 'Dask',
  summary: 'Python functions on many workers.',
  worker: 'worker',
  snippet: 'client = cluster.client()',
  example: 'client.submit(sum, [1, 2]).result()',
  options: {
    type: 'object',
    additionalProperties: false,
    $defs: {
      Adapt: {
        type: 'object',
        title: 'Adapt',
        additionalProperties: false,
        required: ['maximum'],
        properties: {
          minimum: { type: 'integer', title: 'Minimum', default: 0, minimum: 0, maximum: 100000 },
          maximum: { type: 'integer', title: 'Maximum', minimum: 0, maximum: 100000 }
        }
      },
      Environment: {
        type: 'object',
        title: 'Environment',
        additionalProperties: false,
        properties: {
          variables: { type: 'object', title: 'Variables', additionalProperties: { type: 'string' } },
          folder: { anyOf: [{ type: 'string' }, { type: 'null' }], default: null, title: 'Folder' }
        }
      }
    },
    properties: {
      workers: { type: 'integer', title: 'Workers', default: 2, minimum: 0, maximum: 100000, description: 'How many workers.' },
      adapt: { anyOf: [{ $ref: '#/$defs/Adapt' }, { type: 'null' }], default: null, description: 'Bounds instead of a number.' },
      cores: { type: 'integer', title: 'Cores', default: 1, minimum: 1, maximum: 1024 },
      memory: {
        anyOf: [{ type: 'string', pattern: '^\\s*(\\d*\\.?\\d+)\\s*(\\w+)?' }, { type: 'integer', minimum: 0 }],
        default: 2147483648,
        format: 'memory',
        minimum: 67108864,
        maximum: 1125899906842624,
        title: 'Memory'
      },
      environment: { $ref: '#/$defs/Environment', default: { variables: {}, folder: null } },
      idle_timeout: { anyOf: [{ type: 'number', minimum: 0 }, { type: 'null' }], default: 3600, title: 'Idle Timeout' },
      spill: { type: 'boolean', title: 'Spill', default: true, description: 'Write results to disk.' }
    }
  }
};

export const QUOTA: Quota = {
  limits: { clusters: null, workers: null, cores: 32, memory: 96 * 2 ** 30 },
  used: { clusters: 2, workers: 7, cores: 14, memory: 38 * 2 ** 30 },
  enforced: true,
  groups: ['cms-italy']
};

/** What axe finds, but for colours, which jsdom does not draw: a browser looks at those. */
export async function barriers(container: Element): Promise<readonly string[]> {
  const { violations } = await axe.run(container, { rules: { 'color-contrast': { enabled: false }, region: { enabled: false } } });
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(node => node.html).join(' ')}`);
}

/** Until something is so; on a busy machine that may take a while. */
export function until(look: () => boolean): Promise<unknown> {
  return vi.waitUntil(look, { timeout: 20_000, interval: 5 });
}
