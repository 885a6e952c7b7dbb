/** Draws what clusters do for a cell, below it. */

import { type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ReactWidget } from '@jupyterlab/apputils';
import { type IRenderMime, IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import * as React from 'react';

import type { Translator } from '../../model/words';

const MIME = 'application/vnd.jupyter-dodas.progress+json';

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
  private shown: JSX.Element | null = null;

  constructor(private readonly trans: Translator) {
    super();
    this.addClass('dodas-Output');
  }

  async renderModel({ data }: IRenderMime.IMimeModel): Promise<void> {
    // Fetched with the first of them.
    const { WorkOutput } = await import('../../components/WorkProgress');
    this.shown = <WorkOutput said={data[MIME]} text={String(data['text/plain'] ?? '')} trans={this.trans} />;
    this.update();
    await this.renderPromise;
  }

  protected override render(): JSX.Element | null {
    return this.shown;
  }
}
