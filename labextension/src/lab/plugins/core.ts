/** The clusters, and what the screens do with them. */

import { type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Clipboard, Notification } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { CommandIDs } from '../commands';
import { connect } from '../connection';
import { insertInto } from '../notebooks';
import { IDodas } from '../tokens';

export const core: JupyterFrontEndPlugin<IDodas> = {
  id: 'jupyter-dodas:clusters',
  description: 'The clusters, and what the screens do with them.',
  autoStart: true,
  provides: IDodas,
  optional: [ITranslator, INotebookTracker],
  activate: (app: JupyterFrontEnd, translator: ITranslator | null, tracker: INotebookTracker | null): IDodas => {
    const trans = (translator ?? nullTranslator).load('jupyter_dodas');
    const clusters = connect(app.serviceManager.serverSettings);
    return {
      clusters,
      trans,
      launch: kind => void app.commands.execute(CommandIDs.launch, { kind: kind ?? '' }),
      dashboard: (cluster, name) => void app.commands.execute(CommandIDs.dashboard, { cluster, name }),
      logs: cluster => void app.commands.execute(CommandIDs.logs, { cluster }),
      copy: async text => Clipboard.copyToSystem(text),
      insert: async code => {
        if (tracker === null || !insertInto(tracker, code)) {
          Clipboard.copyToSystem(code);
          Notification.info(trans.__('No notebook is open, so the code was copied.'), { autoClose: 5000 });
        }
      }
    };
  }
};
