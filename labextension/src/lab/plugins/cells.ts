/** Draws clusters below the cells of notebooks. */

import { type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { ISessionContext } from '@jupyterlab/apputils';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import type { IRenderMime, IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { Panel } from '@lumino/widgets';

import type { CellOutput } from '../cells';
import { IDodas } from '../tokens';

const MIME = 'application/vnd.jupyter-dodas.cluster+json';

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
      const createRenderer = (): Output => new Output(dodas, sessionContext, rendermime);
      rendermime.addFactory({ safe: true, mimeTypes: [MIME], createRenderer }, RANK);
    };
    notebooks.forEach(add);
    notebooks.widgetAdded.connect((_, panel) => add(panel));
  }
};

/** Fetches what draws clusters with the first of them. */
class Output extends Panel implements IRenderMime.IRenderer {
  private drawn: Promise<CellOutput> | null = null;

  constructor(
    private readonly dodas: IDodas,
    private readonly session: ISessionContext,
    private readonly rendermime: IRenderMimeRegistry
  ) {
    super();
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this.drawn ??= this.begin();
    await (await this.drawn).renderModel(model);
  }

  private async begin(): Promise<CellOutput> {
    const { CellOutput } = await import('../cells');
    const made = new CellOutput(this.dodas, this.session, this.rendermime);
    if (this.isDisposed) {
      made.dispose();
    } else {
      this.addWidget(made);
    }
    return made;
  }
}
