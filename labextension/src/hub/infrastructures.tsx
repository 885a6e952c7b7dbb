/** The hub's page of infrastructures, drawn by the service that makes them. What it draws with is what Lab's sidebar draws with. */

import * as React from 'react';
import { createRoot } from 'react-dom/client';

import { CloudList, type CloudForms } from '../components/CloudList';
import { save } from '../components/files';
import type { InfrastructureActions } from '../components/InfrastructureCard';
import { InfrastructureForm } from '../components/InfrastructureForm';
import { InfrastructureSection } from '../components/InfrastructureSection';
import { ProblemNote } from '../components/texts';
import { problemOf } from '../model/api';
import { InfrastructureApi, InfrastructureList } from '../model/infrastructures';
import { infrastructureReport } from '../model/provision';
import type { Problem } from '../model/records';
import { english } from '../model/words';

/** The status of whoever is signed in no longer. */
const UNKNOWN = 401;

function draw(): void {
  const place = document.querySelector<HTMLElement>('[data-infrastructures]');
  if (place === null) {
    return;
  }
  const { infrastructures: base = '', xsrf = '', clouds = '{}' } = place.dataset;
  let known = false;
  const api = new InfrastructureApi(async (path, init = {}) => {
    const response = await fetch(new URL(path, new URL(base, location.href)), {
      ...init,
      credentials: 'same-origin',
      headers: { ...(init.headers as Record<string, string> | undefined), Accept: 'application/json', 'X-XSRFToken': xsrf }
    });
    if (response.status === UNKNOWN && known) {
      location.reload(); // leads to the page to sign in
    }
    known ||= response.ok;
    return response;
  });
  createRoot(place).render(<Page list={new InfrastructureList(api)} forms={JSON.parse(clouds) as CloudForms} />);
}

function Page({ list, forms }: { list: InfrastructureList; forms: CloudForms }): JSX.Element {
  const snapshot = React.useSyncExternalStore(list.subscribe, list.snapshot);
  const [creating, setCreating] = React.useState(false);
  const [problem, setProblem] = React.useState<Problem | null>(null);
  const actions = React.useMemo<InfrastructureActions>(
    () => ({
      scale: (one, workers) => list.scale(one, workers),
      remove: one => list.remove(one),
      log: ({ name }) => list.api.log(name),
      kubeconfig: async ({ name }) => save(`${name}.kubeconfig`, await list.api.kubeconfig(name)),
      copyReport: one => navigator.clipboard.writeText(infrastructureReport(one, Date.now() / 1000))
    }),
    [list]
  );
  React.useEffect(() => {
    const look = (): void => (document.hidden ? list.rest() : list.watch());
    look();
    document.addEventListener('visibilitychange', look);
    return () => {
      document.removeEventListener('visibilitychange', look);
      list.rest();
    };
  }, [list]);

  const open = (): void => {
    setProblem(null);
    list.readChoices().then(
      () => setCreating(true),
      (error: unknown) => setProblem(problemOf(error))
    );
  };
  return (
    <>
      {creating ? (
        <div className="card">
          <InfrastructureForm
            templates={snapshot.templates}
            clouds={snapshot.clouds}
            taken={snapshot.infrastructures.map(({ name }) => name)}
            trans={english}
            onPlan={(wanted, signal) => list.api.plan(wanted, signal)}
            onCreate={async wanted => {
              await list.create(wanted);
              setCreating(false);
            }}
            onCancel={() => setCreating(false)}
          />
        </div>
      ) : (
        <div className="card">
          <InfrastructureSection
            snapshot={snapshot}
            templates={snapshot.templates}
            actions={actions}
            trans={english}
            heading={english.__('Yours')}
            onNew={open}
            onRetry={() => list.refresh()}
          />
          {problem && <ProblemNote problem={problem} />}
        </div>
      )}
      {!creating && (
        <div className="card">
          <CloudList
            clouds={snapshot.clouds}
            forms={forms}
            trans={english}
            onAdd={async cloud => {
              await list.api.addCloud(cloud);
              await list.readChoices();
            }}
            onRemove={async name => {
              await list.api.removeCloud(name);
              await list.readChoices();
            }}
          />
        </div>
      )}
    </>
  );
}

draw();
