/** The clusters, and what the screens do with them. */

import { type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Clipboard, Notification } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import type { Clusters } from '../../model/clusters';
import { farewell, took } from '../../model/farewell';
import type { Cluster } from '../../model/records';
import type { Translator } from '../../model/words';
import { CommandIDs } from '../commands';
import { connect, infrastructures } from '../connection';
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
      infrastructures: infrastructures(app.serviceManager.serverSettings),
      trans,
      launch: kind => void app.commands.execute(CommandIDs.launch, { kind: kind ?? '' }),
      dashboard: (cluster, name) => void app.commands.execute(CommandIDs.dashboard, { cluster, name }),
      logs: cluster => void app.commands.execute(CommandIDs.logs, { cluster }),
      provision: () => void app.commands.execute(CommandIDs.provision),
      stop: async which => {
        await Promise.all(which.map(({ name }) => clusters.stop(name)));
        // Of one that had failed nobody wants to know any more.
        void tell(clusters, which.filter(({ status }) => status.phase !== 'failed'), trans);
      },
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

async function tell(clusters: Clusters, which: readonly Cluster[], trans: Translator): Promise<void> {
  try {
    const said = which.length ? farewell(await took(clusters, which), trans) : null;
    if (said !== null) {
      Notification.info(said, { autoClose: 10_000 });
    }
  } catch {
    // They have stopped all the same.
  }
}
