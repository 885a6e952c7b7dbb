/** The form for a new infrastructure, in the main area. */

import { type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, type MainAreaWidget } from '@jupyterlab/apputils';

import { CommandIDs } from '../commands';
import { icon } from '../icon';
import { IDodas } from '../tokens';

export const infrastructures: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-dodas:infrastructures',
  description: 'The form for a new infrastructure.',
  autoStart: true,
  requires: [IDodas],
  optional: [ICommandPalette],
  activate: (app: JupyterFrontEnd, dodas: IDodas, palette: ICommandPalette | null) => {
    const { trans } = dodas;
    let tab: MainAreaWidget | null = null;
    app.commands.addCommand(CommandIDs.provision, {
      label: trans.__('New Infrastructure…'),
      icon,
      isVisible: () => dodas.infrastructures.snapshot().available,
      execute: async () => {
        if (tab === null || tab.isDisposed) {
          const { provisionTab } = await import('../provision');
          // Somebody may have pressed twice.
          tab = tab === null || tab.isDisposed ? provisionTab(dodas) : tab;
        }
        if (!tab.isAttached) {
          app.shell.add(tab, 'main');
        }
        app.shell.activateById(tab.id);
      }
    });
    palette?.addItem({ command: CommandIDs.provision, category: trans.__('Clusters') });
  }
};
