/** The list of clusters at the side of Lab. */

import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { ClusterActions } from '../components/ClusterCard';
import { ClusterList } from '../components/ClusterList';
import { connectCode, exampleCode } from '../model/python';
import { report } from '../model/view';
import { icon } from './icon';
import type { IDodas } from './tokens';

export class Sidebar extends ReactWidget {
  private readonly actions: ClusterActions;

  constructor(private readonly dodas: IDodas) {
    super();
    this.id = 'jupyter-dodas-sidebar';
    this.addClass('dodas-Panel');
    this.title.icon = icon;
    this.title.caption = dodas.trans.__('Clusters');
    this.node.setAttribute('aria-label', dodas.trans.__('Clusters'));
    this.actions = actions(dodas);
  }

  protected override render(): JSX.Element {
    return <Live dodas={this.dodas} actions={this.actions} />;
  }
}

function Live({ dodas, actions }: { dodas: IDodas; actions: ClusterActions }): JSX.Element {
  const { clusters, trans } = dodas;
  const snapshot = React.useSyncExternalStore(clusters.subscribe, clusters.snapshot);
  return <ClusterList snapshot={snapshot} actions={actions} trans={trans} onNew={() => dodas.launch()} onRetry={() => clusters.refresh()} />;
}

/** What a card in Lab can do. */
export function actions(dodas: IDodas): ClusterActions {
  const { clusters } = dodas;
  const code: NonNullable<ClusterActions['code']> = ({ name, spec }) => connectCode(name, clusters.kind(spec.kind)?.snippet ?? '');
  return {
    change: ({ name }, change) => clusters.change(name, change),
    stop: ({ name }) => clusters.stop(name),
    code,
    insert: cluster => dodas.insert(code(cluster)),
    example: ({ name }, kind) => dodas.insert(exampleCode(name, kind)),
    dashboard: ({ name }, dashboard) => dodas.dashboard(name, dashboard),
    logs: ({ name }) => dodas.logs(name),
    copyReport: cluster => dodas.copy(report(cluster, Date.now() / 1000))
  };
}
