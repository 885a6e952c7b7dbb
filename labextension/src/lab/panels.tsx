/** What cards of some kinds show beside what all have. The server names a kind's panel; here is what draws it. Loaded when opened. */

import * as React from 'react';

import { type Ask, endpoint } from '../model/endpoint';
import { problemOf } from '../model/api';
import type { Model } from '../model/models';
import type { Cluster, Kind, Problem } from '../model/records';
import type { Translator } from '../model/words';
import type { IDodas } from './tokens';

const ModelList = React.lazy(async () => ({ default: (await import('../components/ModelList')).ModelList }));

interface PanelProps {
  readonly cluster: Cluster;
  readonly dodas: IDodas;
  readonly ask: Ask;
}

interface Panel {
  readonly title: (trans: Translator) => string;
  readonly Content: (props: PanelProps) => JSX.Element;
}

/** By the name that the server has for them: another kind brings its own by one more line. */
const PANELS: { readonly [name: string]: Panel } = {
  models: { title: trans => trans.__('Models'), Content: Models }
};

/** Returns the panel of a cluster, folded; null if its kind has none. */
export function panelOf(cluster: Cluster, kind: Kind, dodas: IDodas, ask: Ask): JSX.Element | null {
  const panel = PANELS[kind.panel ?? ''];
  return panel ? <Folded title={panel.title(dodas.trans)} cluster={cluster} dodas={dodas} ask={ask} Content={panel.Content} /> : null;
}

function Folded({ title, Content, ...props }: PanelProps & { title: string; Content: Panel['Content'] }): JSX.Element {
  const [open, setOpen] = React.useState(false);
  const id = React.useId();
  return (
    <div className="dodas-Folded">
      <button type="button" aria-expanded={open} aria-controls={id} onClick={() => setOpen(!open)}>
        {title}
      </button>
      <div id={id}>
        {open && (
          <React.Suspense fallback={<p role="status">{props.dodas.trans.__('Opening…')}</p>}>
            <Content {...props} />
          </React.Suspense>
        )}
      </div>
    </div>
  );
}

const PAGE = 'page';

function Models({ cluster, dodas, ask }: PanelProps): JSX.Element {
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
