/** One entry for each kind of cluster in the launcher and the palette. */

import { type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';

import type { Kind } from '../../model/records';
import { CommandIDs } from '../commands';
import { IDodas } from '../tokens';

export const launcher: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-dodas:launcher',
  description: 'One entry for each kind of cluster in the launcher and the palette.',
  autoStart: true,
  requires: [IDodas],
  optional: [ILauncher, ICommandPalette],
  activate: (_app: JupyterFrontEnd, dodas: IDodas, items: ILauncher | null, palette: ICommandPalette | null) => {
    const { clusters, trans } = dodas;
    const add = ({ kind, title, summary }: Kind, rank: number): void => {
      const args = { kind, title, summary };
      items?.add({ command: CommandIDs.launch, args, category: trans.__('Clusters'), rank });
      palette?.addItem({ command: CommandIDs.launch, args, category: trans.__('Clusters') });
    };
    // The kinds are known with the first list.
    const stop = clusters.subscribe(() => {
      const { kinds } = clusters.snapshot();
      if (kinds.length) {
        stop();
        kinds.forEach(add);
      }
    });
  }
};
