/** Forms, dashboards and logs in the main area. */

import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, type MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { IStateDB } from '@jupyterlab/statedb';

import { CommandIDs } from '../commands';
import { icon } from '../icon';
import { choices, dashboardTab, launchTab, logsTab } from '../tabs';
import { IDodas } from '../tokens';

const PLACES: { readonly [command: string]: Parameters<JupyterFrontEnd.IShell['add']>[2] } = {
  [CommandIDs.dashboard]: { mode: 'split-right' },
  [CommandIDs.logs]: { mode: 'split-bottom' }
};

export const tabs: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-dodas:tabs',
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
      // What is restored is found by what stands before the first colon.
      const tracker = new WidgetTracker<MainAreaWidget>({ namespace: id.replace(':', '-') });
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
            // The first of a kind beside what is worked on, which stays in view; the next ones behind that.
            const other = tracker.currentWidget;
            app.shell.add(tab, 'main', other ? { ref: other.id, mode: 'tab-after' } : PLACES[id]);
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
