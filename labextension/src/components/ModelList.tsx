/** The models of an endpoint, drawn from its properties alone: their versions, what is asked of them, how fast they answered. */

import * as React from 'react';

import { canRollBack, madeWords, type Model, trafficWords, type Version, type VersionState } from '../model/models';
import type { Problem } from '../model/records';
import type { Mark } from '../model/view';
import type { Translator } from '../model/words';
import { BenchmarkPlot } from './BenchmarkPlot';
import { useNow, useTask } from './hooks';
import { Sure } from './Sure';
import { ProblemNote, Shape } from './texts';

export interface ModelListProps {
  /** Null until they are known. */
  readonly models: readonly Model[] | null;
  /** Where the endpoint is asked. */
  readonly address: string;
  /** Why they are not known, or no longer. */
  readonly problem: Problem | null;
  readonly trans: Translator;
  readonly onRefresh: () => Promise<unknown> | void;
  readonly onTry: () => void;
  readonly onPublish: (model: string, version: string) => Promise<unknown>;
  readonly onRollback: (model: string) => Promise<unknown>;
}

/** More versions of a model than this are only counted. */
const MOST = 4;

const MARKS: { readonly [state in VersionState]: Mark } = {
  published: { shape: '●', tone: 'good' },
  staged: { shape: '◐', tone: 'busy' },
  earlier: { shape: '○', tone: 'quiet' }
};

export function ModelList(props: ModelListProps): JSX.Element {
  const { models, address, problem, trans } = props;
  const { busy, refused, run, forget } = useTask();
  const now = useNow(null);
  return (
    <section className="dodas-Models" aria-label={trans.__('Models')} aria-busy={busy}>
      {address !== '' && <code className="dodas-Address">{address}</code>}
      {models?.map(model => <ModelView key={model.name} {...props} model={model} now={now} busy={busy} run={run} />)}
      {models?.length === 0 && <p className="dodas-Help">{trans.__('No models yet: deploy one from a notebook.')}</p>}
      {models === null && problem === null && (
        <p className="dodas-Help" role="status">
          {trans.__('Reading the models…')}
        </p>
      )}
      {problem && <ProblemNote problem={problem} tone="warn" />}
      {refused && (
        <ProblemNote problem={refused}>
          <button type="button" onClick={forget}>
            {trans.__('Close')}
          </button>
        </ProblemNote>
      )}
      <div className="dodas-Actions">
        <button type="button" onClick={props.onTry}>
          {trans.__('Try it')}
        </button>
        <button type="button" disabled={busy} onClick={() => void run(props.onRefresh)}>
          {trans.__('Look again')}
        </button>
      </div>
    </section>
  );
}

interface ModelViewProps extends ModelListProps {
  readonly model: Model;
  readonly now: number;
  readonly busy: boolean;
  readonly run: (task: () => Promise<unknown> | void) => Promise<boolean>;
}

function ModelView(props: ModelViewProps): JSX.Element {
  const { model, trans } = props;
  const { name, versions } = model;
  const measured = versions.find(({ state, benchmark }) => state === 'published' && benchmark.length > 0) ?? versions.find(({ benchmark }) => benchmark.length > 0);
  return (
    <article aria-label={name}>
      <h4 dir="auto">{name}</h4>
      <div className="dodas-Row dodas-Facts">
        {trafficWords(model.traffic, trans).map(fact => (
          <span key={fact}>{fact}</span>
        ))}
      </div>
      <ul className="dodas-Versions">
        {versions.slice(0, MOST).map(version => (
          <VersionView key={version.version} {...props} version={version} />
        ))}
      </ul>
      {versions.length > MOST && <p className="dodas-Facts">{trans._n('and %1 more version', 'and %1 more versions', versions.length - MOST)}</p>}
      {measured && <BenchmarkPlot rows={measured.benchmark} trans={trans} />}
    </article>
  );
}

function VersionView(props: ModelViewProps & { readonly version: Version }): JSX.Element {
  const { model, version, now, busy, run, trans } = props;
  const made = madeWords(version, now);
  const words: { readonly [state in VersionState]: string } = {
    published: trans.__('published'),
    staged: trans.__('staged'),
    earlier: trans.__('earlier')
  };
  return (
    <li>
      <div className="dodas-Row">
        <span>
          <Shape mark={MARKS[version.state]} /> {words[version.state]}
        </span>
        <code>{version.version}</code>
        <span className="dodas-Space" />
        {version.state === 'staged' && (
          <Sure
            label={trans.__('Publish')}
            question={trans.__('Publish %1? Everybody gets it from then on.', version.version)}
            busy={busy}
            trans={trans}
            run={run}
            onSure={() => props.onPublish(model.name, version.version)}
          />
        )}
        {version.state === 'published' && canRollBack(model) && (
          <Sure
            label={trans.__('Roll back')}
            question={trans.__('Publish again what was published before?')}
            busy={busy}
            trans={trans}
            run={run}
            onSure={() => props.onRollback(model.name)}
          />
        )}
      </div>
      {made !== '' && (
        <div className="dodas-Facts" dir="auto">
          {made}
        </div>
      )}
    </li>
  );
}
