/** The list of clusters at the side of Lab. */

import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { ClusterActions } from '../components/ClusterCard';
import { ClusterList } from '../components/ClusterList';
import type { Ask } from '../model/endpoint';
import { connectCode, exampleCode } from '../model/python';
import { Usages } from '../model/usage';
import { report } from '../model/view';
import { icon } from './icon';
import { LiveInfrastructures } from './infrastructures';
import { panelOf } from './panels';
import type { IDodas } from './tokens';

export class Sidebar extends ReactWidget {
  private readonly actions: ClusterActions;
  private readonly usages: Usages;

  constructor(private readonly dodas: IDodas) {
    super();
    this.id = 'jupyter-dodas-sidebar';
    this.addClass('dodas-Panel');
    this.title.icon = icon;
    this.title.caption = dodas.trans.__('Clusters');
    this.node.setAttribute('aria-label', dodas.trans.__('Clusters'));
    this.actions = actions(dodas);
    this.usages = new Usages(signal => dodas.clusters.api.usage(signal));
    document.addEventListener('visibilitychange', this.look);
  }

  override dispose(): void {
    document.removeEventListener('visibilitychange', this.look);
    this.usages.rest();
    this.dodas.infrastructures.rest();
    super.dispose();
  }

  protected override onAfterAttach(message: Parameters<ReactWidget['processMessage']>[0]): void {
    super.onAfterAttach(message);
    this.look();
  }

  protected override onAfterShow(): void {
    this.look();
  }

  protected override onAfterHide(): void {
    this.look();
  }

  /** What clusters use is measured only while it is seen. */
  private readonly look = (): void => {
    if (this.isVisible && !document.hidden) {
      this.usages.watch();
      this.dodas.infrastructures.watch();
    } else {
      this.usages.rest();
      this.dodas.infrastructures.rest();
    }
  };

  /** Whoever comes by a key goes on by keys: at the card of the last time, or at the button for a first one. */
  protected override onActivateRequest(): void {
    const first = this.node.querySelector<HTMLElement>('article[tabindex="0"]') ?? this.node.querySelector<HTMLElement>('button:enabled');
    first?.focus();
  }

  protected override render(): JSX.Element {
    return (
      <>
        <Live dodas={this.dodas} actions={this.actions} usages={this.usages} />
        <LiveInfrastructures dodas={this.dodas} />
      </>
    );
  }
}

function Live({ dodas, actions, usages }: { dodas: IDodas; actions: ClusterActions; usages: Usages }): JSX.Element {
  const { clusters, trans } = dodas;
  const snapshot = React.useSyncExternalStore(clusters.subscribe, clusters.snapshot);
  const usage = React.useSyncExternalStore(usages.subscribe, usages.snapshot);
  return (
    <ClusterList
      snapshot={snapshot}
      usage={usage}
      actions={actions}
      trans={trans}
      onNew={() => dodas.launch()}
      onRetry={() => clusters.refresh()}
      onStopAll={() => dodas.stop(clusters.snapshot().clusters)}
    />
  );
}

/** What a card in Lab can do. */
export function actions(dodas: IDodas): ClusterActions {
  const { clusters } = dodas;
  const ask: Ask = (name, dashboard, path, init) => clusters.api.ask(name, dashboard, path, init);
  const code: NonNullable<ClusterActions['code']> = ({ name, spec }) => connectCode(name, clusters.kind(spec.kind)?.snippet ?? '');
  return {
    change: ({ name }, change) => clusters.change(name, change),
    stop: cluster => dodas.stop([cluster]),
    code,
    insert: cluster => dodas.insert(code(cluster)),
    example: ({ name }, kind) => dodas.insert(exampleCode(name, kind)),
    dashboard: ({ name }, dashboard) => dodas.dashboard(name, dashboard),
    logs: ({ name }) => dodas.logs(name),
    panel: (cluster, kind) => panelOf(cluster, kind, dodas, ask),
    copyReport: cluster => dodas.copy(report(cluster, Date.now() / 1000))
  };
}
