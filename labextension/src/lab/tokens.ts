/** What other extensions of JupyterLab can ask for. */

import { Token } from '@lumino/coreutils';

import type { Clusters } from '../model/clusters';
import type { InfrastructureList } from '../model/infrastructures';
import type { Cluster } from '../model/records';
import type { Translator } from '../model/words';

/** The clusters of whoever is signed in, and the words that tell of them. */
export interface IDodas {
  readonly clusters: Clusters;
  /** What the hub of this notebook makes, if it makes any. */
  readonly infrastructures: InfrastructureList;
  readonly trans: Translator;
  /** Opens the form for a new cluster; without a kind, for the one of the last time. */
  launch(kind?: string): void;
  /** Opens a dashboard as a tab. */
  dashboard(cluster: string, name: string): void;
  logs(cluster: string): void;
  /** Opens the form for a new infrastructure. */
  provision(): void;
  /** Stops clusters, and tells what they took once they are gone. It ends when that has been asked for. */
  stop(which: readonly Cluster[]): Promise<void>;
  /** Writes Python into the notebook in view. */
  insert(code: string): Promise<void>;
  copy(text: string): Promise<void>;
}

export const IDodas = new Token<IDodas>('jupyter-dodas:IDodas', 'Clusters on demand: their list, and what the screens do with them.');
