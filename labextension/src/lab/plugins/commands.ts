/** All that a card can do, by the palette and by keys: of the card that has the focus, or of a cluster that is asked for. */

import { type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, InputDialog, Notification, showDialog } from '@jupyterlab/apputils';

import { problemOf } from '../../model/api';
import { connectCode } from '../../model/python';
import type { Cluster } from '../../model/records';
import { able, sizeIn, sizeOf, type Verb } from '../../model/verbs';
import { kept } from '../../model/view';
import { CommandIDs } from '../commands';
import { IDodas } from '../tokens';

export const commands: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-dodas:commands',
  description: 'All that a card can do, by the palette and by keys.',
  autoStart: true,
  requires: [IDodas],
  optional: [ICommandPalette],
  activate: (app: JupyterFrontEnd, dodas: IDodas, palette: ICommandPalette | null) => {
    const { clusters, trans } = dodas;
    const add = (id: string, verb: Verb, label: string, act: (cluster: Cluster) => Promise<unknown> | void): void => {
      app.commands.addCommand(id, {
        label,
        execute: async args => {
          try {
            const cluster = await chosen(dodas, verb, label, args['cluster']);
            await (cluster && act(cluster));
          } catch (error) {
            failed(error);
          }
        }
      });
      palette?.addItem({ command: id, category: trans.__('Clusters') });
    };

    add(CommandIDs.scale, 'scale', trans.__('Scale Cluster…'), async cluster => {
      const { value } = await InputDialog.getText({
        title: trans.__('Workers of %1', cluster.name),
        label: trans.__('A number, or two bounds between which it follows the work: 0-10'),
        text: sizeIn(cluster),
        okLabel: trans.__('Scale')
      });
      const size = value === null ? undefined : sizeOf(value);
      if (size === null) {
        throw new Error(trans.__('%1 is neither a number nor two bounds.', JSON.stringify(value)));
      }
      return size && clusters.change(cluster.name, size);
    });
    add(CommandIDs.keep, 'keep', trans.__('Keep Cluster 1 h'), cluster =>
      clusters.change(cluster.name, kept(cluster, Date.now() / 1000))
    );
    add(CommandIDs.restart, 'restart', trans.__('Restart Cluster…'), async ({ name }) => {
      if (await sure(trans.__('Restart %1?', name), trans.__('What its workers hold is lost.'), trans.__('Restart'), trans.__('Cancel'))) {
        await clusters.change(name, { restart: true });
      }
    });
    add(CommandIDs.stop, 'stop', trans.__('Stop Cluster…'), async cluster => {
      if (await sure(trans.__('Stop %1?', cluster.name), trans.__('What it holds is lost.'), trans.__('Stop'), trans.__('Cancel'))) {
        await dodas.stop([cluster]);
      }
    });
    app.commands.addCommand(CommandIDs.stopAll, {
      label: trans.__('Stop All Clusters…'),
      isEnabled: () => clusters.snapshot().clusters.length > 0,
      execute: async () => {
        const all = clusters.snapshot().clusters;
        const question = trans._n('Stop %1 cluster?', 'Stop all %1 clusters?', all.length);
        if (await sure(question, trans.__('What they hold is lost.'), trans.__('Stop'), trans.__('Cancel'))) {
          await dodas.stop(all).catch(failed);
        }
      }
    });
    palette?.addItem({ command: CommandIDs.stopAll, category: trans.__('Clusters') });
    add(CommandIDs.insert, 'insert', trans.__('Insert Code for Cluster'), ({ name, spec }) =>
      dodas.insert(connectCode(name, clusters.kind(spec.kind)?.snippet ?? ''))
    );
    add(CommandIDs.showLogs, 'logs', trans.__('Show Logs of Cluster'), ({ name }) => dodas.logs(name));
    add(CommandIDs.showDashboard, 'dashboard', trans.__('Open Dashboard of Cluster'), async ({ name, dashboards }) => {
      const one = await picked(Object.keys(dashboards), trans.__('Dashboard of %1', name));
      if (one !== null) {
        dodas.dashboard(name, one);
      }
    });
  }
};

function failed(error: unknown): void {
  const { message, cause, remedy } = problemOf(error);
  Notification.error([message, cause, remedy].filter(text => text !== '').join(' — '));
}

/** The cluster that is meant: by name, by the focus, because it is the only one, or because somebody is asked. */
async function chosen({ clusters, trans }: IDodas, verb: Verb, label: string, named: unknown): Promise<Cluster | undefined> {
  const fitting = able(verb, clusters.snapshot().clusters, Date.now() / 1000, trans);
  const meant = typeof named === 'string' ? named : document.activeElement?.closest<HTMLElement>('[data-cluster]')?.dataset['cluster'];
  const found = fitting.find(({ name }) => name === meant);
  if (found || typeof named === 'string') {
    return found;
  }
  if (fitting.length === 0) {
    Notification.info(trans.__('There is no cluster with which this can be done now.'), { autoClose: 5000 });
    return undefined;
  }
  const name = await picked(
    fitting.map(cluster => cluster.name),
    label
  );
  return fitting.find(cluster => cluster.name === name);
}

/** One of these; asked for where there are several. Null if nobody wants to say. */
async function picked(names: readonly string[], title: string): Promise<string | null> {
  return names.length === 1 ? (names[0] ?? null) : (await InputDialog.getItem({ title, items: [...names] })).value;
}

async function sure(title: string, body: string, yes: string, no: string): Promise<boolean> {
  const { button } = await showDialog({
    title,
    body,
    buttons: [Dialog.cancelButton({ label: no }), Dialog.warnButton({ label: yes })],
    defaultButton: 0
  });
  return button.accept;
}
