/** The list of clusters at the side. */

import { type ILabShell, ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';

import { CommandIDs } from '../commands';
import { icon } from '../icon';
import { Sidebar } from '../sidebar';
import { IDodas } from '../tokens';

export const sidebar: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-dodas:sidebar',
  description: 'The list of clusters.',
  autoStart: true,
  requires: [IDodas],
  optional: [ILayoutRestorer, ICommandPalette],
  activate: (app: JupyterFrontEnd, dodas: IDodas, restorer: ILayoutRestorer | null, palette: ICommandPalette | null) => {
    const { trans } = dodas;
    const widget = new Sidebar(dodas);
    (app.shell as ILabShell).add(widget, 'left', { rank: 300, type: 'Clusters' });
    restorer?.add(widget, widget.id);
    app.commands.addCommand(CommandIDs.show, {
      label: trans.__('Show Clusters'),
      icon,
      execute: () => app.shell.activateById(widget.id)
    });
    palette?.addItem({ command: CommandIDs.show, category: trans.__('Clusters') });
  }
};
