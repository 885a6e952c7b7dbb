/** What is docked in Lab's main area: forms, dashboards and logs. */

import { IFrame, MainAreaWidget, ReactWidget } from '@jupyterlab/apputils';
import type { ServerConnection } from '@jupyterlab/services';
import type { IStateDB } from '@jupyterlab/statedb';
import * as React from 'react';

import type { Cluster, Options } from '../model/records';
import type { Translator } from '../model/words';
import { address } from './connection';
import { icon } from './icon';
import type { IDodas } from './tokens';

// Chunks of their own: most who start Lab open neither.
const LaunchForm = React.lazy(async () => ({ default: (await import('../components/LaunchForm')).LaunchForm }));
const LogView = React.lazy(async () => ({ default: (await import('../components/LogView')).LogView }));

/** What was asked for the last time, by kind, and of which kind it was. */
export interface Choices {
  readonly last?: string;
  readonly options: { readonly [kind: string]: Options };
}

const CHOICES = 'jupyter-dodas:choices';

export async function choices(state: IStateDB | null): Promise<Choices> {
  const found = (await state?.fetch(CHOICES)) as unknown as Choices | undefined;
  return { ...found, options: found?.options ?? {} };
}

/** A form for a new cluster, which closes once one is launched. */
export function launchTab(dodas: IDodas, before: Choices, kind: string | undefined, state: IStateDB | null): MainAreaWidget {
  const launch = async (of: string, name: string, options: Options): Promise<void> => {
    await dodas.clusters.launch(of, name, options);
    const made: Choices = { last: of, options: { ...before.options, [of]: options } };
    await state?.save(CHOICES, JSON.parse(JSON.stringify(made)));
    tab.dispose();
  };
  // Launches since the last form was opened may say more of how long one takes; without them there is a form as well.
  dodas.clusters.readKinds().catch(() => undefined);
  const content = ReactWidget.create(<LiveForm dodas={dodas} before={before} kind={kind} onLaunch={launch} />);
  const tab = docked(content, `launch-${kind ?? ''}`, dodas.trans.__('New cluster'));
  return tab;
}

function LiveForm(props: {
  dodas: IDodas;
  before: Choices;
  kind: string | undefined;
  onLaunch: (kind: string, name: string, options: Options) => Promise<void>;
}): JSX.Element {
  const { dodas, before, kind, onLaunch } = props;
  const { kinds, quota } = React.useSyncExternalStore(dodas.clusters.subscribe, dodas.clusters.snapshot);
  const opening = <p role="status">{dodas.trans.__('Opening the form…')}</p>;
  if (kinds.length === 0) {
    return opening;
  }
  return (
    <React.Suspense fallback={opening}>
      <LaunchForm
        kinds={kinds}
        kind={kind ?? before.last ?? ''}
        quota={quota}
        remembered={of => before.options[of]}
        trans={dodas.trans}
        onLaunch={onLaunch}
        onCopy={dodas.copy}
        onInsert={dodas.insert}
      />
    </React.Suspense>
  );
}

/** A dashboard. It comes from Lab's own origin, so it may have what pages of it have. */
export function dashboardTab(settings: ServerConnection.ISettings, cluster: string, name: string): MainAreaWidget {
  const frame = new IFrame({ sandbox: ['allow-scripts', 'allow-same-origin', 'allow-popups', 'allow-forms'] });
  frame.url = address(settings, `clusters/${encodeURIComponent(cluster)}/ui/${encodeURIComponent(name)}/`);
  return docked(frame, `${name}-${cluster}`, `${cluster}: ${name}`);
}

/** The logs of a cluster. */
export function logsTab(dodas: IDodas, name: string): MainAreaWidget {
  return docked(ReactWidget.create(<LiveLogs dodas={dodas} name={name} />), `logs-${name}`, dodas.trans.__('%1: logs', name));
}

const LAST_LINES = 1000;

function LiveLogs({ dodas, name }: { dodas: IDodas; name: string }): JSX.Element {
  const { clusters, trans } = dodas;
  const snapshot = React.useSyncExternalStore(clusters.subscribe, clusters.snapshot);
  const found = snapshot.clusters.find(cluster => cluster.name === name);
  // When it is gone, what it wrote stays to be read.
  const last = React.useRef<Cluster>();
  last.current = found ?? last.current;
  const open = React.useCallback((of: string, signal: AbortSignal) => clusters.api.logs(of, LAST_LINES, signal), [clusters]);
  if (!last.current) {
    return gone(trans, name);
  }
  return (
    <React.Suspense>
      <LogView cluster={last.current} open={open} trans={trans} />
    </React.Suspense>
  );
}

function gone(trans: Translator, name: string): JSX.Element {
  return (
    <p className="dodas-Help" role="status">
      {trans.__('There is no cluster %1.', name)}
    </p>
  );
}

function docked(content: ReactWidget | IFrame, id: string, label: string): MainAreaWidget {
  const tab = new MainAreaWidget({ content });
  tab.addClass('dodas-Tab');
  tab.toolbar.hide();
  tab.id = `jupyter-dodas-${id}`;
  tab.title.label = label;
  tab.title.icon = icon;
  tab.title.closable = true;
  return tab;
}
