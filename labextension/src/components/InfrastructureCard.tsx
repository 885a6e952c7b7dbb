/** One infrastructure, drawn from its properties alone. The same in the sidebar and on the hub's page. */

import * as React from 'react';

import type { Infrastructure, Vm } from '../model/infrastructures';
import { infrastructureWords, roleWords, whereWords } from '../model/provision';
import type { Translator } from '../model/words';
import { Steps } from './ClusterCard';
import { type Task, useNow, useTask } from './hooks';
import { Sure } from './Sure';
import { ProblemNote, Shape } from './texts';

export interface InfrastructureActions {
  scale(one: Infrastructure, workers: number): Promise<unknown>;
  remove(one: Infrastructure): Promise<unknown>;
  /** What was said while it was made. */
  log(one: Infrastructure): Promise<string>;
  /** Keeps the secret with which its cluster is reached, as a file. */
  kubeconfig(one: Infrastructure): Promise<unknown>;
  copyReport(one: Infrastructure): Promise<unknown> | void;
}

export interface InfrastructureCardProps {
  readonly one: Infrastructure;
  /** Of its template, for people. */
  readonly title: string;
  readonly actions: InfrastructureActions;
  readonly trans: Translator;
  /** Whether one comes to it with the tab key. */
  readonly current?: boolean;
}

type Run = (task: Task) => Promise<boolean>;

export const InfrastructureCard = React.memo(function InfrastructureCard(props: InfrastructureCardProps): JSX.Element {
  const { one, actions, trans, current = true } = props;
  const moving = one.phase === 'pending' || one.phase === 'starting';
  const now = useNow(moving ? 1 : 60);
  const { busy, refused, run, forget } = useTask();
  const shown = infrastructureWords(one, now, trans);
  const failed = one.phase === 'failed' && one.wanted === 'present';
  return (
    <article className="dodas-Card" aria-label={one.name} aria-busy={busy} tabIndex={current ? 0 : -1}>
      <header className="dodas-Row">
        <h3 dir="auto" title={one.name}>
          {one.name}
        </h3>
        <span className="dodas-Kind" dir="auto">
          {props.title}
        </span>
        <span className="dodas-Phase" role="status">
          <Shape mark={shown.mark} /> {shown.phase}
        </span>
      </header>
      <div className="dodas-Row dodas-Facts">
        {shown.facts.map(fact => (
          <span key={fact}>{fact}</span>
        ))}
      </div>
      <Steps steps={shown.steps} />
      {shown.note && (
        <div className="dodas-Facts">
          <p>{shown.note}</p>
        </div>
      )}
      {one.problem && <ProblemNote problem={one.problem} tone={failed ? 'bad' : 'warn'} />}
      {shown.can.scale && <Scale {...props} workers={one.workers ?? 0} busy={busy} run={run} />}
      <div className="dodas-Actions">
        {failed && (
          <button type="button" disabled={busy} onClick={() => void run(() => actions.copyReport(one))}>
            {trans.__('Copy report')}
          </button>
        )}
        {shown.can.use && (
          <button type="button" disabled={busy} onClick={() => void run(() => actions.kubeconfig(one))}>
            {trans.__('Kubeconfig')}
          </button>
        )}
        {(shown.can.cancel || shown.can.remove) && (
          <Sure
            label={shown.can.cancel ? trans.__('Cancel') : trans.__('Delete')}
            question={question(one, shown.can.cancel, trans)}
            busy={busy}
            trans={trans}
            run={run}
            onSure={() => actions.remove(one)}
          />
        )}
      </div>
      {(one.machines.length > 0 || Object.keys(one.outputs).length > 0) && <Machines one={one} trans={trans} />}
      {one.phase !== 'pending' && <Log one={one} read={actions.log} trans={trans} />}
      {refused && (
        <ProblemNote problem={refused}>
          <button type="button" onClick={forget}>
            {trans.__('Close')}
          </button>
        </ProblemNote>
      )}
    </article>
  );
});

function question({ holders }: Infrastructure, cancel: boolean, trans: Translator): string {
  if (cancel) {
    return trans.__('Cancel, and remove what is made of it?');
  }
  return holders.length > 0
    ? trans._n('Delete it? %1 notebook uses it.', 'Delete it? %1 notebooks use it.', holders.length)
    : trans.__('Delete it? What its machines hold is lost.');
}

interface ScaleProps extends InfrastructureCardProps {
  readonly workers: number;
  readonly busy: boolean;
  readonly run: Run;
}

/** How many workers. Machines cost something and take their time, so it is asked for by a button, and to take some away once more. */
function Scale({ one, actions, trans, workers, busy, run }: ScaleProps): JSX.Element {
  const [text, setText] = React.useState<string | null>(null);
  React.useEffect(() => setText(null), [workers]);
  const number = text === null ? workers : Number(text);
  const good = text === null || (text !== '' && Number.isInteger(number) && number >= 0 && number <= MOST);
  const changed = good && number !== workers;
  const scale = (): Promise<unknown> => actions.scale(one, number);
  return (
    <form
      className="dodas-Scale"
      aria-label={trans.__('Size of %1', one.name)}
      noValidate
      onSubmit={event => {
        event.preventDefault();
        if (number > workers && good && !busy) {
          void run(scale);
        }
      }}
    >
      <label>
        {trans.__('Workers')}{' '}
        <input type="number" min={0} max={MOST} step={1} aria-invalid={!good} value={text ?? String(workers)} onChange={event => setText(event.target.value)} />
      </label>
      {changed && number > workers && (
        <button type="submit" className="dodas-is-strong" disabled={busy}>
          {trans.__('Scale up')}
        </button>
      )}
      {changed && number < workers && (
        <Sure
          label={trans.__('Scale down')}
          question={trans._n('%1 machine goes, with what it holds.', '%1 machines go, with what they hold.', workers - number)}
          busy={busy}
          trans={trans}
          run={run}
          onSure={scale}
        />
      )}
    </form>
  );
}

const MOST = 1000;

function Machines({ one, trans }: { one: Infrastructure; trans: Translator }): JSX.Element {
  return (
    <details className="dodas-Folded">
      <summary>{trans.__('Machines')}</summary>
      <ul className="dodas-Machines" aria-label={trans.__('Machines of %1', one.name)}>
        {one.machines.map(vm => (
          <li key={vm.id}>
            <VmLine vm={vm} trans={trans} />
          </li>
        ))}
      </ul>
      {Object.keys(one.outputs).length > 0 && (
        <dl className="dodas-Outputs">
          {Object.entries(one.outputs).map(([name, value]) => (
            <React.Fragment key={name}>
              <dt>{name.replaceAll('_', ' ')}</dt>
              <dd dir="auto">{value}</dd>
            </React.Fragment>
          ))}
        </dl>
      )}
    </details>
  );
}

function VmLine({ vm, trans }: { vm: Vm; trans: Translator }): JSX.Element {
  return (
    <span className="dodas-Row">
      <span>{vm.role ? roleWords(vm.role, trans) : trans.__('Machine %1', vm.id)}</span>
      <code dir="auto">{whereWords(vm)}</code>
      <span className="dodas-Time" dir="auto">
        {vm.state}
      </span>
    </span>
  );
}

/** What was said, read when somebody wants to see it, and again with each change of what it is about. */
function Log({ one, read, trans }: { one: Infrastructure; read: InfrastructureActions['log']; trans: Translator }): JSX.Element {
  const [open, setOpen] = React.useState(false);
  const [said, setSaid] = React.useState<string | null>(null);
  const { refused, run } = useTask();
  const { generation } = one;
  const latest = React.useRef(one);
  latest.current = one;
  React.useEffect(() => {
    if (open) {
      void run(async () => setSaid(await read(latest.current)));
    }
  }, [open, generation, read, run]);
  return (
    <details className="dodas-Folded" onToggle={event => setOpen(event.currentTarget.open)}>
      <summary>{trans.__('Log')}</summary>
      {said === null && !refused && (
        <p role="status" className="dodas-Help">
          {trans.__('Reading the log…')}
        </p>
      )}
      {refused && <ProblemNote problem={refused} tone="warn" />}
      {said !== null &&
        (said.trim() === '' ? (
          <p className="dodas-Help">{trans.__('Nothing was said yet.')}</p>
        ) : (
          <pre className="dodas-Said" tabIndex={0} dir="auto" aria-label={trans.__('Log of %1', one.name)}>
            {said}
          </pre>
        ))}
    </details>
  );
}
