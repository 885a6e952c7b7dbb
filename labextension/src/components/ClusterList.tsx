/** All clusters, of every kind and wherever they were started, with the quota above and what there is instead while there is no list. */

import * as React from 'react';

import type { Snapshot } from '../model/clusters';
import type { Usage } from '../model/usage';
import type { Translator } from '../model/words';
import { type ClusterActions, ClusterCard } from './ClusterCard';
import { useTask } from './hooks';
import { QuotaBar } from './QuotaBar';
import { Sure } from './Sure';
import { ProblemNote } from './texts';

export interface ClusterListProps {
  readonly snapshot: Snapshot;
  /** What clusters use, while somebody can tell. */
  readonly usage?: Usage;
  readonly actions: ClusterActions;
  readonly trans: Translator;
  readonly onNew: () => void;
  readonly onRetry: () => void;
  /** Stops every cluster; without it there is no button for that. */
  readonly onStopAll?: () => Promise<unknown>;
}

export function ClusterList(props: ClusterListProps): JSX.Element {
  const { snapshot, actions, trans, onNew } = props;
  const { clusters, kinds, state } = snapshot;
  const [chosen, setChosen] = React.useState<string | null>(null);
  const current = clusters.find(({ name }) => name === chosen)?.name ?? clusters[0]?.name;
  const drawn = useDrawn(clusters.length);
  const titles = React.useMemo(() => new Map(kinds.map(kind => [kind.kind, kind])), [kinds]);

  return (
    <section className="dodas-List" aria-label={trans.__('Clusters')}>
      <div className="dodas-Row dodas-Head">
        <h2>{trans.__('Clusters')}</h2>
        <button type="button" className="dodas-is-strong" onClick={onNew} disabled={kinds.length === 0}>
          {trans.__('+ New')}
        </button>
      </div>
      {snapshot.quota && <QuotaBar quota={snapshot.quota} trans={trans} />}
      <Connection {...props} />
      {state === 'loading' && <Loading trans={trans} />}
      {clusters.length > 0 ? (
        <div className="dodas-Cards" role="list" onKeyDown={move}>
          {clusters.slice(0, drawn).map(cluster => (
            <div role="listitem" key={cluster.spec.uid} onFocus={() => setChosen(cluster.name)}>
              <ClusterCard
                cluster={cluster}
                kind={titles.get(cluster.spec.kind)}
                used={props.usage?.get(cluster.name)}
                actions={actions}
                trans={trans}
                current={cluster.name === current}
              />
            </div>
          ))}
        </div>
      ) : (
        state === 'live' && <Empty {...props} />
      )}
      {clusters.length > 1 && <StopAll {...props} />}
    </section>
  );
}

/** More than are in view at first. */
const AT_ONCE = 24;

/** How many cards to draw: first those that are seen at once, then, while nothing else is to be done, all. */
function useDrawn(all: number): number {
  const [drawn, setDrawn] = React.useState(AT_ONCE);
  React.useEffect(() => {
    if (drawn < all) {
      React.startTransition(() => setDrawn(Infinity));
    }
  }, [drawn, all]);
  return drawn;
}

const KEYS: { readonly [key: string]: (at: number, last: number) => number } = {
  ArrowDown: (at, last) => Math.min(at + 1, last),
  ArrowUp: at => Math.max(at - 1, 0),
  Home: () => 0,
  End: (_, last) => last
};

/** From card to card, when a card itself has the focus: within one, arrows are for its slider. */
export function move(event: React.KeyboardEvent<HTMLElement>): void {
  const to = KEYS[event.key];
  const cards = [...event.currentTarget.querySelectorAll<HTMLElement>('article')];
  const at = cards.indexOf(event.target as HTMLElement);
  if (event.key === 'Escape' && at < 0) {
    (event.target as HTMLElement).closest<HTMLElement>('article')?.focus();
  } else if (to && at >= 0) {
    event.preventDefault();
    cards[to(at, cards.length - 1)]?.focus();
  }
}

function StopAll({ snapshot, trans, onStopAll }: ClusterListProps): JSX.Element | null {
  const { busy, refused, run } = useTask();
  if (onStopAll === undefined) {
    return null;
  }
  const question = trans.__('Stop all %1? What they hold is lost.', snapshot.clusters.length);
  return (
    <div className="dodas-Foot">
      <Sure label={trans.__('Stop all')} question={question} busy={busy} trans={trans} run={run} onSure={onStopAll} />
      {refused && <ProblemNote problem={refused} />}
    </div>
  );
}

/** What is wrong with the connection, while what was read before stays in view. */
function Connection({ snapshot, trans, onRetry }: ClusterListProps): JSX.Element | null {
  const retry = (
    <button type="button" onClick={onRetry}>
      {trans.__('Try again')}
    </button>
  );
  if (snapshot.state === 'offline') {
    return (
      <div className="dodas-Note dodas-is-warn" role="status">
        <p>
          <strong>{trans.__('Jupyter Server does not answer.')}</strong>{' '}
          {snapshot.clusters.length > 0 && trans.__('This is how the clusters were before; they go on without it.')}
        </p>
        <div className="dodas-Actions">{retry}</div>
      </div>
    );
  }
  return snapshot.state === 'error' && snapshot.problem ? <ProblemNote problem={snapshot.problem}>{retry}</ProblemNote> : null;
}

export function Loading({ trans, label = trans.__('Reading the clusters') }: { trans: Translator; label?: string }): JSX.Element {
  return (
    <div className="dodas-Loading" role="status" aria-label={label}>
      {[0, 1].map(n => (
        <div key={n} aria-hidden="true">
          <i />
          <i />
        </div>
      ))}
    </div>
  );
}

function Empty({ snapshot, trans, onNew }: ClusterListProps): JSX.Element {
  return (
    <div className="dodas-Empty">
      <p>
        <strong>{trans.__('No clusters yet.')}</strong>
      </p>
      <p>{trans.__('Those that you start here, in a notebook or on the command line all appear in this list.')}</p>
      {snapshot.kinds.length > 0 && (
        <button type="button" className="dodas-is-strong" onClick={onNew}>
          {trans.__('Start the first')}
        </button>
      )}
    </div>
  );
}
