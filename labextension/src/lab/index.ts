/** The plugins that JupyterLab loads. */

import { type ILabShell, ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Clipboard, ICommandPalette, type MainAreaWidget, Notification, WidgetTracker } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStateDB } from '@jupyterlab/statedb';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import type { Kind } from '../model/records';
import { connect } from './connection';
import { icon } from './icon';
import { insertInto } from './notebooks';
import { notices } from './notices';
import { Sidebar } from './sidebar';
import { choices, dashboardTab, launchTab, logsTab } from './tabs';
import { IDodas } from './tokens';

export { IDodas } from './tokens';

const NAME = 'jupyter-dodas';

export const CommandIDs = {
  show: 'dodas:show-clusters',
  launch: 'dodas:new-cluster',
  dashboard: 'dodas:open-dashboard',
  logs: 'dodas:open-logs'
} as const;

const core: JupyterFrontEndPlugin<IDodas> = {
  id: `${NAME}:clusters`,
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

const sidebar: JupyterFrontEndPlugin<void> = {
  id: `${NAME}:sidebar`,
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

const tabs: JupyterFrontEndPlugin<void> = {
  id: `${NAME}:tabs`,
  description: 'Forms, dashboards and logs in the main area.',
  autoStart: true,
  requires: [IDodas],
  optional: [ILayoutRestorer, ICommandPalette, IStateDB],
  activate: (
    app: JupyterFrontEnd,
    dodas: IDodas,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    state: IStateDB | null
  ) => {
    const { trans } = dodas;
    const settings = app.serviceManager.serverSettings;
    const text = (args: object, name: string): string => String((args as Record<string, unknown>)[name] ?? '');
    const command = (
      id: string,
      label: string,
      keys: readonly string[],
      make: (...values: string[]) => MainAreaWidget | Promise<MainAreaWidget>
    ): void => {
      const tracker = new WidgetTracker<MainAreaWidget>({ namespace: id });
      const args = new WeakMap<MainAreaWidget, Record<string, string>>();
      app.commands.addCommand(id, {
        label: given => (given['title'] ? trans.__('New %1 Cluster', text(given, 'title')) : label),
        caption: given => text(given, 'summary'),
        icon,
        execute: async given => {
          const values = keys.map(key => text(given, key));
          const open = tracker.find(one => keys.every((key, at) => args.get(one)?.[key] === values[at]));
          const tab = open ?? (await make(...values));
          if (open === undefined) {
            args.set(tab, Object.fromEntries(keys.map((key, at) => [key, values[at] ?? ''])));
            app.shell.add(tab, 'main', id === CommandIDs.logs ? { mode: 'split-bottom' } : undefined);
            await tracker.add(tab);
          }
          app.shell.activateById(tab.id);
        }
      });
      void restorer?.restore(tracker, { command: id, args: tab => args.get(tab) ?? {}, name: tab => tab.id });
    };
    command(CommandIDs.launch, trans.__('New Cluster…'), ['kind'], async kind =>
      launchTab(dodas, await choices(state), kind || undefined, state)
    );
    command(CommandIDs.dashboard, trans.__('Dashboard of a Cluster'), ['cluster', 'name'], (cluster = '', name = '') =>
      dashboardTab(settings, cluster, name)
    );
    command(CommandIDs.logs, trans.__('Logs of a Cluster'), ['cluster'], (cluster = '') => logsTab(dodas, cluster));
    palette?.addItem({ command: CommandIDs.launch, category: trans.__('Clusters') });
  }
};

const launcher: JupyterFrontEndPlugin<void> = {
  id: `${NAME}:launcher`,
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

const notifications: JupyterFrontEndPlugin<void> = {
  id: `${NAME}:notifications`,
  description: 'Tells of clusters that become ready, fail, or will be stopped.',
  autoStart: true,
  requires: [IDodas],
  optional: [ISettingRegistry],
  activate: (_app: JupyterFrontEnd, dodas: IDodas, registry: ISettingRegistry | null) => {
    let wanted = true;
    notices(dodas.clusters, dodas.trans, () => wanted);
    void registry?.load(notifications.id).then(settings => {
      const read = (): void => {
        wanted = settings.get('notify').composite !== false;
      };
      settings.changed.connect(read);
      read();
    });
  }
};

export default [core, sidebar, tabs, launcher, notifications];
