/** All infrastructures of somebody, wherever they were asked for. Nothing where nobody makes any. */

import * as React from 'react';

import type { Infrastructures, Template } from '../model/infrastructures';
import type { Translator } from '../model/words';
import { Loading, move } from './ClusterList';
import { type InfrastructureActions, InfrastructureCard } from './InfrastructureCard';
import { ProblemNote } from './texts';

export interface InfrastructureSectionProps {
  readonly snapshot: Infrastructures;
  /** For what they are called; may come later. */
  readonly templates: readonly Template[];
  readonly actions: InfrastructureActions;
  readonly trans: Translator;
  /** What stands above; by default what they are. */
  readonly heading?: string;
  readonly onNew: () => void;
  readonly onRetry: () => void;
}

export function InfrastructureSection(props: InfrastructureSectionProps): JSX.Element | null {
  const { snapshot, templates, actions, trans, onNew, heading = trans.__('Infrastructure') } = props;
  const { available, infrastructures, state } = snapshot;
  const [chosen, setChosen] = React.useState<string | null>(null);
  const current = infrastructures.find(({ uid }) => uid === chosen)?.uid ?? infrastructures[0]?.uid;
  if (!available && infrastructures.length === 0 && state !== 'error') {
    return null;
  }
  return (
    <section className="dodas-List dodas-Infrastructures" aria-label={heading}>
      <div className="dodas-Row dodas-Head">
        <h2>{heading}</h2>
        <button type="button" className="dodas-is-strong" onClick={onNew} aria-label={trans.__('New infrastructure')} disabled={!available}>
          {trans.__('+ New')}
        </button>
      </div>
      <Connection {...props} />
      {state === 'loading' && <Loading trans={trans} label={trans.__('Reading the infrastructures')} />}
      {infrastructures.length > 0 ? (
        <div className="dodas-Cards" role="list" onKeyDown={move}>
          {infrastructures.map(one => (
            <div role="listitem" key={one.uid} onFocus={() => setChosen(one.uid)}>
              <InfrastructureCard
                one={one}
                title={templates.find(({ name }) => name === one.template)?.title ?? one.template}
                actions={actions}
                trans={trans}
                current={one.uid === current}
              />
            </div>
          ))}
        </div>
      ) : (
        state === 'live' && (
          <div className="dodas-Empty">
            <p>
              <strong>{trans.__('No infrastructure yet.')}</strong>
            </p>
            <p>{trans.__('Machines with Kubernetes on them, made for you in some minutes, and removed when you delete them.')}</p>
          </div>
        )
      )}
    </section>
  );
}

/** What is wrong with the connection, while what was read before stays in view. */
function Connection({ snapshot, trans, onRetry }: InfrastructureSectionProps): JSX.Element | null {
  const retry = (
    <button type="button" onClick={onRetry}>
      {trans.__('Try again')}
    </button>
  );
  if (snapshot.state === 'offline') {
    return (
      <div className="dodas-Note dodas-is-warn" role="status">
        <p>
          <strong>{trans.__('The service of infrastructures does not answer.')}</strong>{' '}
          {snapshot.infrastructures.length > 0 && trans.__('This is how they were before; they go on without it.')}
        </p>
        <div className="dodas-Actions">{retry}</div>
      </div>
    );
  }
  return snapshot.state === 'error' && snapshot.problem ? <ProblemNote problem={snapshot.problem}>{retry}</ProblemNote> : null;
}
