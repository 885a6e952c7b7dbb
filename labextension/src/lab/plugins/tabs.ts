/** Forms, dashboards and logs in the main area. */

import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, type MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { IStateDB } from '@jupyterlab/statedb';

import { CommandIDs } from '../commands';
import { icon } from '../icon';
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
      make: (of: typeof import('../tabs'), ...values: string[]) => MainAreaWidget | Promise<MainAreaWidget>
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
          const find = (): MainAreaWidget | undefined =>
            tracker.find(one => keys.every((key, at) => args.get(one)?.[key] === values[at]));
          const made = find() ?? (await make(await import('../tabs'), ...values));
          // Somebody may have pressed twice.
          const tab = find() ?? made;
          if (tab !== made) {
            made.dispose();
          } else if (!args.has(tab)) {
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
    command(CommandIDs.launch, trans.__('New Cluster…'), ['kind'], async ({ choices, launchTab }, kind) =>
      launchTab(dodas, await choices(state), kind || undefined, state)
    );
    command(CommandIDs.dashboard, trans.__('Dashboard of a Cluster'), ['cluster', 'name'], ({ dashboardTab }, cluster = '', name = '') =>
      dashboardTab(settings, cluster, name)
    );
    command(CommandIDs.logs, trans.__('Logs of a Cluster'), ['cluster'], ({ logsTab }, cluster = '') => logsTab(dodas, cluster));
    palette?.addItem({ command: CommandIDs.launch, category: trans.__('Clusters') });
  }
};
