/** What the hub makes, below the clusters at the side of Lab. */

import * as React from 'react';

import { save } from '../components/files';
import type { InfrastructureActions } from '../components/InfrastructureCard';
import { InfrastructureSection } from '../components/InfrastructureSection';
import { infrastructureReport } from '../model/provision';
import type { IDodas } from './tokens';

export function LiveInfrastructures({ dodas }: { dodas: IDodas }): JSX.Element {
  const { infrastructures: list, trans } = dodas;
  const snapshot = React.useSyncExternalStore(list.subscribe, list.snapshot);
  const actions = React.useMemo<InfrastructureActions>(
    () => ({
      scale: (one, workers) => list.scale(one, workers),
      remove: one => list.remove(one),
      log: ({ name }) => list.api.log(name),
      kubeconfig: async ({ name }) => save(`${name}.kubeconfig`, await list.api.kubeconfig(name)),
      copyReport: one => dodas.copy(infrastructureReport(one, Date.now() / 1000))
    }),
    [dodas, list]
  );
  return (
    <InfrastructureSection
      snapshot={snapshot}
      templates={snapshot.templates}
      actions={actions}
      trans={trans}
      onNew={() => dodas.provision()}
      onRetry={() => list.refresh()}
    />
  );
}
