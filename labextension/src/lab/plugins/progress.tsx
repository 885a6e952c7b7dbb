/** Draws what clusters do for a cell, below it. */

import { type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ReactWidget } from '@jupyterlab/apputils';
import { type IRenderMime, IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import * as React from 'react';

import { WorkProgress } from '../../components/WorkProgress';
import { MIME, read } from '../../model/work';
import type { Translator } from '../../model/words';

export const progress: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-dodas:progress',
  description: 'Draws what clusters do for a cell, below it.',
  autoStart: true,
  requires: [IRenderMimeRegistry],
  optional: [ITranslator],
  activate: (_app: JupyterFrontEnd, registry: IRenderMimeRegistry, translator: ITranslator | null) => {
    const trans = (translator ?? nullTranslator).load('jupyter_dodas');
    // It is safe in a notebook that nobody trusts: everything it shows is text. HTML is for others.
    registry.addFactory({ safe: true, mimeTypes: [MIME], createRenderer: () => new WorkRenderer(trans) }, 0);
  }
};

class WorkRenderer extends ReactWidget implements IRenderMime.IRenderer {
  private model: IRenderMime.IMimeModel | null = null;

  constructor(private readonly trans: Translator) {
    super();
    this.addClass('dodas-Output');
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this.model = model;
    this.update();
    await this.renderPromise;
  }

  protected override render(): JSX.Element | null {
    if (this.model === null) {
      return null;
    }
    const report = read(this.model.data[MIME]);
    // A notebook from a later version.
    return report === null ? <pre>{String(this.model.data['text/plain'] ?? '')}</pre> : <WorkProgress report={report} trans={this.trans} />;
  }
}
