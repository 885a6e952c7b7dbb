/** The models of an endpoint, read through Jupyter Server. */

import * as React from 'react';

import { ModelList } from '../../components/ModelList';
import { problemOf } from '../../model/api';
import { endpoint } from '../../model/endpoint';
import type { Model } from '../../model/models';
import type { Problem } from '../../model/records';
import type { PanelProps } from '../panels';

const PAGE = 'page';

export function Models({ cluster, dodas, ask }: PanelProps): JSX.Element {
  const { name, tag, status } = cluster;
  const [models, setModels] = React.useState<readonly Model[] | null>(null);
  const [problem, setProblem] = React.useState<Problem | null>(null);
  const asked = React.useMemo(() => endpoint((path, init) => ask(name, PAGE, path, init)), [ask, name]);
  const look = React.useCallback(async (): Promise<void> => {
    try {
      setModels(await asked.models());
      setProblem(null);
    } catch (error) {
      setProblem(problemOf(error));
    }
  }, [asked]);
  // Whatever the cluster's record tells anew may be about its models as well.
  React.useEffect(() => void look(), [look, tag]);
  return (
    <ModelList
      models={models}
      address={status.addresses?.[PAGE] ?? ''}
      problem={problem}
      trans={dodas.trans}
      onRefresh={look}
      onTry={() => dodas.dashboard(name, PAGE)}
      onPublish={async (model, version) => {
        await asked.publish(model, version);
        await look();
      }}
      onRollback={async model => {
        await asked.rollback(model);
        await look();
      }}
    />
  );
}
