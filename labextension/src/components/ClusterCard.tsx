/** One cluster, drawn from its properties alone: no requests, no subscriptions. The same in the sidebar and below a cell. */

import * as React from 'react';

import type { Change, Cluster, Kind, Problem } from '../model/records';
import { remedyChange, remedyWords } from '../model/remedy';
import type { Used } from '../model/usage';
import { groups, kept, type StepView, type View, view } from '../model/view';
import { clock, type Translator } from '../model/words';
import { useNow, useTask } from './hooks';
import { ScaleControl } from './ScaleControl';
import { Sparkline } from './Sparkline';
import { Sure } from './Sure';
import { ProblemNote, Shape } from './texts';

/** What can be done with a cluster. Where something is missing, the button is, too. What fails is told in the card. */
export interface ClusterActions {
  change(cluster: Cluster, change: Change): Promise<unknown>;
  stop(cluster: Cluster): Promise<unknown>;
  /** Python that works with it, and what writes that into a notebook. */
  code?(cluster: Cluster): string;
  insert?(cluster: Cluster): Promise<unknown> | void;
  /** Writes Python that shows it at work into a notebook. */
  example?(cluster: Cluster, kind: Kind): Promise<unknown> | void;
  dashboard?(cluster: Cluster, name: string): void;
  logs?(cluster: Cluster): void;
  /** Draws what cards of this kind show besides; null if there is nothing. */
  panel?(cluster: Cluster, kind: Kind): JSX.Element | null;
  copyReport?(cluster: Cluster): Promise<unknown> | void;
}

export interface ClusterCardProps {
  readonly cluster: Cluster;
  readonly kind: Kind | undefined;
  /** Null of one that is only remembered: nothing can be done with it. */
  readonly actions: ClusterActions | null;
  readonly trans: Translator;
  /** When it was so, of one that is only remembered: Unix seconds. */
  readonly asOf?: number;
  /** What it uses, while somebody can tell. */
  readonly used?: Used | undefined;
  /** Whether one comes to it with the tab key. */
  readonly current?: boolean;
}

/** More workers than this are only counted. */
const MOST_DRAWN = 48;

export const ClusterCard = React.memo(function ClusterCard(props: ClusterCardProps): JSX.Element {
  const { cluster, kind, actions, trans, used, current = true } = props;
  const timed = cluster.status.stops_at !== null || cluster.spec.keep_until !== null;
  const now = useNow(timed ? 15 : null);
  const { busy, refused, run, forget } = useTask();
  const shown = view(cluster, now, trans, used);
  const code = shown.can.use ? actions?.code?.(cluster) : undefined;

  const onKeyDown = (event: React.KeyboardEvent<HTMLElement>): void => {
    if (event.key === 'Enter' && event.target === event.currentTarget && code !== undefined && actions?.insert) {
      event.preventDefault();
      void run(() => actions.insert?.(cluster));
    }
  };

  /** What would do, as a button; for a cluster that has failed, it is a new start as well. */
  const remedy = (problem: Problem, failed: boolean): JSX.Element | null => {
    const change = remedyChange(problem);
    if (change === null || actions === null) {
      return null;
    }
    const words = remedyWords(problem, kind?.options, trans);
    return (
      <button type="button" disabled={busy} onClick={() => void run(() => actions.change(cluster, failed ? { ...change, restart: true } : change))}>
        {failed ? trans.__('Start again with %1', words) : trans.__('Ask for %1', words)}
      </button>
    );
  };

  return (
    <article
      className="dodas-Card"
      aria-label={cluster.name}
      aria-busy={busy}
      data-cluster={cluster.name}
      tabIndex={current ? 0 : -1}
      draggable={code !== undefined}
      onDragStart={event => code !== undefined && event.target === event.currentTarget && event.dataTransfer.setData('text/plain', code)}
      onKeyDown={onKeyDown}
    >
      <header className="dodas-Row">
        <h3 dir="auto" title={cluster.name}>
          {cluster.name}
        </h3>
        <span className="dodas-Kind">{kind?.title ?? cluster.spec.kind}</span>
        <span className="dodas-Phase" role="status">
          <Shape mark={shown.mark} /> {shown.phase}
        </span>
      </header>
      {shown.facts.length > 0 && (
        <div className="dodas-Row dodas-Facts">
          {shown.facts.map(fact => (
            <span key={fact}>{fact}</span>
          ))}
        </div>
      )}
      <div className="dodas-Row dodas-Drawn">
        <Workers shown={shown} trans={trans} />
        {used && (
          <Sparkline
            values={used.trend}
            most={shown.cores}
            label={trans.__('Cores in use lately: at most %1', Math.max(...used.trend).toFixed(1))}
          />
        )}
      </div>
      <Steps steps={shown.steps} />
      {shown.note && (
        <div className={shown.ending ? 'dodas-Note dodas-is-warn' : 'dodas-Facts'} role={shown.ending ? 'alert' : undefined}>
          <p>{shown.note}</p>
        </div>
      )}
      {shown.problem && (
        <ProblemNote problem={shown.problem} tone={cluster.status.phase === 'failed' ? 'bad' : 'warn'}>
          {remedy(shown.problem, cluster.status.phase === 'failed')}
        </ProblemNote>
      )}
      {props.asOf !== undefined && <p className="dodas-Facts">{trans.__('As of %1', clock(props.asOf, now))}</p>}
      {actions &&
        shown.can.scale &&
        !shown.can.cancel &&
        groups(cluster).map(({ name, workers, bounds }, at) => (
          <ScaleControl
            key={name}
            name={cluster.name}
            group={at > 0 ? name : ''}
            workers={workers}
            bounds={bounds}
            disabled={false}
            trans={trans}
            onSize={size => run(() => actions.change(cluster, at > 0 ? { groups: { [name]: size } } : size))}
          />
        ))}
      {shown.can.use && kind && actions?.panel?.(cluster, kind)}
      {actions && <Buttons {...props} actions={actions} shown={shown} now={now} busy={busy} run={run} hasCode={code !== undefined} />}
      {refused && (
        <ProblemNote problem={refused}>
          {remedy(refused, false)}
          <button type="button" onClick={forget}>
            {trans.__('Close')}
          </button>
        </ProblemNote>
      )}
    </article>
  );
});

function Workers({ shown, trans }: { shown: View; trans: Translator }): JSX.Element | null {
  const { workers, ready } = shown;
  if (workers.length === 0 || workers.length > MOST_DRAWN) {
    return null;
  }
  return (
    <div className="dodas-Workers" role="img" aria-label={trans.__('%1 of %2 workers are ready', ready, workers.length)}>
      {workers.map(({ name, condition }) => (
        <i key={name} className={`dodas-is-${condition}`} title={`${name}: ${condition}`} />
      ))}
    </div>
  );
}

export function Steps({ steps }: { steps: readonly StepView[] }): JSX.Element | null {
  if (steps.length === 0) {
    return null;
  }
  return (
    <ol className="dodas-Steps">
      {steps.map(({ mark, name, time, now }) => (
        <li key={name} aria-current={now ? 'step' : undefined}>
          <Shape mark={mark} />
          <span>{name}</span>
          <span className="dodas-Time">{time}</span>
        </li>
      ))}
    </ol>
  );
}

interface ButtonsProps extends ClusterCardProps {
  readonly actions: ClusterActions;
  readonly shown: View;
  readonly now: number;
  readonly busy: boolean;
  readonly hasCode: boolean;
  readonly run: (task: () => Promise<unknown> | void) => Promise<boolean>;
}

/** What can be done now, the remedy first. Restart and stop lose work, so they ask once more, in place. */
function Buttons(props: ButtonsProps): JSX.Element {
  const { cluster, kind, actions, shown, trans, run } = props;
  const failed = cluster.status.phase === 'failed';
  const [more, setMore] = React.useState(false);
  const id = React.useId();
  const keep = (): Promise<unknown> => actions.change(cluster, kept(cluster, props.now));
  const button = (label: string, task: () => Promise<unknown> | void, strong = false): JSX.Element => (
    <button type="button" key={label} className={strong ? 'dodas-is-strong' : undefined} disabled={props.busy} onClick={() => void run(task)}>
      {label}
    </button>
  );
  return (
    <div className="dodas-Actions">
      {shown.ending && button(trans.__('Keep 1 h'), keep, true)}
      {failed && button(trans.__('Start again'), () => actions.change(cluster, { restart: true }), true)}
      {failed && actions.copyReport && button(trans.__('Copy report'), () => actions.copyReport?.(cluster))}
      {props.hasCode && actions.insert && button(trans.__('Insert code'), () => actions.insert?.(cluster))}
      {shown.can.use &&
        actions.dashboard &&
        Object.keys(cluster.dashboards).map(name => button(sentence(name), () => actions.dashboard?.(cluster, name)))}
      {actions.logs && Object.keys(cluster.status.instances).length > 0 && button(trans.__('Logs'), () => actions.logs?.(cluster))}
      {shown.can.use && (
        <>
          <Sure label={trans.__('Stop')} question={trans.__('Stop? What it holds is lost.')} {...props} onSure={() => actions.stop(cluster)} />
          <button type="button" aria-label={trans.__('More')} aria-expanded={more} aria-controls={id} onClick={() => setMore(!more)}>
            ⋯
          </button>
          <div id={id} className="dodas-Actions dodas-More" hidden={!more}>
            {kind?.example && actions.example && button(trans.__('Insert example'), () => actions.example?.(cluster, kind))}
            {!shown.ending && button(trans.__('Keep 1 h'), keep)}
            <Sure
              label={trans.__('Restart')}
              question={trans.__('Restart? What it holds is lost.')}
              {...props}
              onSure={() => actions.change(cluster, { restart: true })}
            />
          </div>
        </>
      )}
      {shown.can.cancel && button(trans.__('Cancel'), () => actions.stop(cluster))}
      {failed && button(trans.__('Dismiss'), () => actions.stop(cluster))}
    </div>
  );
}

function sentence(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}
