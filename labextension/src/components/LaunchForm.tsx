/** A new cluster: what to ask for, the Python that asks for the same, and what it takes of the quota. */

import * as React from 'react';

import { problemOf } from '../model/api';
import { given, shown } from '../model/form';
import { launchCode } from '../model/python';
import { shares, withDefaults } from '../model/quota';
import type { Kind, Options, Problem, Quota } from '../model/records';
import { remedied, remedyWords } from '../model/remedy';
import { lasting, size, type Translator } from '../model/words';
import { QuotaBar } from './QuotaBar';
import { ProblemNote } from './texts';

const OptionsForm = React.lazy(() => import('./OptionsForm'));

export interface LaunchFormProps {
  readonly kinds: readonly Kind[];
  /** The kind to begin with. */
  readonly kind: string;
  readonly quota: Quota | null;
  /** What was asked for the last time. */
  readonly remembered: (kind: string) => Options | undefined;
  readonly trans: Translator;
  readonly onLaunch: (kind: string, name: string, options: Options) => Promise<unknown>;
  readonly onCopy: (code: string) => Promise<unknown> | void;
  readonly onInsert?: ((code: string) => Promise<unknown> | void) | undefined;
}

export function LaunchForm(props: LaunchFormProps): JSX.Element | null {
  const [chosen, setChosen] = React.useState(props.kind);
  const kind = props.kinds.find(one => one.kind === chosen) ?? props.kinds[0];
  if (kind === undefined) {
    return <p className="dodas-Help">{props.trans.__('No kind of cluster is installed.')}</p>;
  }
  // Another kind is another form.
  return <OfKind key={kind.kind} {...props} of={kind} onKind={setChosen} />;
}

/** A name as the server takes it. */
const NAME = '[a-z](-?[a-z0-9])*';

function OfKind(props: LaunchFormProps & { of: Kind; onKind: (kind: string) => void }): JSX.Element {
  const { of: kind, kinds, quota, trans } = props;
  const schema = kind.options;
  const [name, setName] = React.useState('');
  const [values, setValues] = React.useState<Options>(() => beginning(kind, props.remembered(kind.kind)));
  const [valid, setValid] = React.useState(true);
  const [busy, setBusy] = React.useState(false);
  const [refused, setRefused] = React.useState<Problem | null>(null);
  const [said, setSaid] = React.useState('');
  const submit = React.useRef<HTMLButtonElement>(null);
  const id = React.useId();

  const options = React.useMemo(() => given(schema, values), [schema, values]);
  const code = launchCode(kind.kind, name, options, kind.snippet);
  const { least, most } = shares(withDefaults(schema, values));
  const named = name === '' || new RegExp(`^${NAME}$`).test(name);
  const instead = refused ? remedyWords(refused, schema, trans) : '';
  const atField = refused?.option && refused.option !== 'name' ? refused : null;

  const launch = async (): Promise<void> => {
    setBusy(true);
    setRefused(null);
    try {
      await props.onLaunch(kind.kind, name, options);
    } catch (error) {
      setRefused(problemOf(error));
    } finally {
      setBusy(false);
    }
  };
  /** What would do is only filled in: whoever is to ask for less may want to look at it first. */
  const mend = ({ name: other, ...retry }: Options): void => {
    if (typeof other === 'string') {
      setName(other);
    }
    setValues(shown(schema, remedied(values, retry)));
    setValid(true);
    setRefused(null);
    setSaid(trans.__('Filled in: %1.', instead));
    submit.current?.focus();
  };
  const tell = async (task: Promise<unknown> | void, words: string): Promise<void> => {
    await task;
    setSaid(words);
  };

  const mending = instead !== '' && (
    <button type="button" onClick={() => mend(refused?.retry ?? {})}>
      {trans.__('Ask for %1', instead)}
    </button>
  );

  return (
    <form
      className="dodas-Launch"
      aria-label={trans.__('New %1 cluster', kind.title)}
      noValidate
      onSubmit={event => {
        event.preventDefault();
        if (valid && named && !busy) {
          void launch();
        }
      }}
    >
      <div className="dodas-Row dodas-Head">
        <h2>{trans.__('New %1 cluster', kind.title)}</h2>
        {kinds.length > 1 && (
          <select aria-label={trans.__('Kind')} value={kind.kind} onChange={event => props.onKind(event.target.value)}>
            {kinds.map(one => (
              <option key={one.kind} value={one.kind}>
                {one.title}
              </option>
            ))}
          </select>
        )}
      </div>
      <p className="dodas-Help">{kind.summary}</p>
      <div className="dodas-Columns">
        <div>
          <div className={`dodas-Field${named ? '' : ' dodas-is-bad'}`}>
            <label htmlFor={`${id}-name`}>{trans.__('Name')}</label>
            <input
              id={`${id}-name`}
              value={name}
              maxLength={40}
              autoComplete="off"
              spellCheck={false}
              placeholder={trans.__('%1 and a number', kind.kind)}
              aria-invalid={!named}
              aria-describedby={`${id}-rule`}
              onChange={event => setName(event.target.value)}
            />
            <p id={`${id}-rule`} className="dodas-Help" role={named ? undefined : 'alert'}>
              {named ? '' : trans.__('Lower-case letters, digits and single hyphens, beginning with a letter.')}
            </p>
          </div>
          <React.Suspense fallback={<p role="status">{trans.__('Opening the form…')}</p>}>
            <OptionsForm
              schema={schema}
              values={values}
              refused={atField}
              trans={trans}
              onValues={(next, isValid) => {
                setValues(next);
                setValid(isValid);
                setSaid('');
              }}
            />
          </React.Suspense>
        </div>
        <div>
          <div className="dodas-Row">
            <h3 id={`${id}-python`}>{trans.__('As Python')}</h3>
            <button type="button" onClick={() => void tell(props.onCopy(code), trans.__('Copied.'))}>
              {trans.__('Copy')}
            </button>
          </div>
          <pre tabIndex={0} aria-labelledby={`${id}-python`}>
            {code}
          </pre>
          {quota && (
            <>
              <h3>{trans.__('What this takes')}</h3>
              <QuotaBar quota={quota} asked={least} trans={trans} />
            </>
          )}
          <p className="dodas-Help">
            {trans.__('%1 and %2 for its workers.', between(least.cores, most.cores, n => trans._n('%1 core', '%1 cores', n), trans), between(least.memory, most.memory, size, trans))}
          </p>
          {typeof kind.usually === 'number' && <p className="dodas-Help">{trans.__('Usually ready in %1.', lasting(kind.usually))}</p>}
          <div className="dodas-Actions">
            <button type="submit" ref={submit} className="dodas-is-strong" disabled={busy || !valid || !named}>
              {trans.__('Launch')}
            </button>
            {props.onInsert && (
              <button type="button" onClick={() => void tell(props.onInsert?.(code), trans.__('Inserted.'))}>
                {trans.__('Insert code')}
              </button>
            )}
            <span role="status" className="dodas-Help">
              {busy ? trans.__('Asking…') : said}
            </span>
          </div>
          {refused && !atField && <ProblemNote problem={refused}>{mending}</ProblemNote>}
          {atField && mending && <div className="dodas-Actions">{mending}</div>}
        </div>
      </div>
    </form>
  );
}

/** `4 cores`, or `0 to 4 cores` of what follows the work. */
function between(least: number, most: number, words: (n: number) => string, trans: Translator): string {
  return least === most ? words(least) : trans.__('%1 to %2', least === 0 ? '0' : words(least), words(most));
}

/** The defaults, with what was asked for the last time; an option that a newer version of the kind no longer has would only be refused. */
function beginning({ options: schema }: Kind, remembered: Options = {}): Options {
  const known = Object.entries(remembered).filter(([name]) => Object.hasOwn(schema.properties ?? {}, name));
  return shown(schema, withDefaults(schema, Object.fromEntries(known)));
}
