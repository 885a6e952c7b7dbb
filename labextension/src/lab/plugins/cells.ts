/** Draws clusters below the cells of notebooks. */

import { type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';

import { MIME } from '../../model/picture';
import { CellOutput } from '../cells';
import { IDodas } from '../tokens';

/** Before ipywidgets, whose rank is -10: what it cannot draw, it says instead of leaving it to the next. */
const RANK = -20;

export const cells: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-dodas:cells',
  description: 'Draws clusters below the cells of notebooks.',
  autoStart: true,
  requires: [IDodas, INotebookTracker],
  activate: (_app: JupyterFrontEnd, dodas: IDodas, notebooks: INotebookTracker) => {
    const add = ({ content, sessionContext }: NotebookPanel): void => {
      const { rendermime } = content;
      const createRenderer = (): CellOutput => new CellOutput(dodas, sessionContext, rendermime);
      rendermime.addFactory({ safe: true, mimeTypes: [MIME], createRenderer }, RANK);
    };
    notebooks.forEach(add);
    notebooks.widgetAdded.connect((_, panel) => add(panel));
  }
};
