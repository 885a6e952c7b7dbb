/** An endpoint, asked through Jupyter Server: the same replies and errors as from the server itself. */

import { type Endpoint, modelsOf } from './models';

/** Asks something of a cluster's dashboard: its JSON, or an error with the server's sentence. */
export type Ask = (cluster: string, dashboard: string, path: string, init?: RequestInit) => Promise<unknown>;

export function endpoint(ask: (path: string, init?: RequestInit) => Promise<unknown>): Endpoint {
  const model = (name: string, verb: string): string => `dodas/v1/models/${encodeURIComponent(name)}/${verb}`;
  return {
    models: async () => modelsOf(await ask('dodas/v1/models')),
    publish: (name, version) => ask(model(name, 'publish'), { method: 'POST', body: JSON.stringify({ version }) }),
    rollback: name => ask(model(name, 'rollback'), { method: 'POST', body: '{}' })
  };
}
