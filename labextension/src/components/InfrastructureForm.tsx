/** A new infrastructure: of which template, with which inputs, where, for how long, and what will be created. */

import * as React from 'react';

import { problemOf } from '../model/api';
import { given, shown } from '../model/form';
import type { Cloud, Plan, Template, Wanted } from '../model/infrastructures';
import { inputsOf } from '../model/provision';
import { withDefaults } from '../model/quota';
import type { Options, Problem } from '../model/records';
import { lasting, type Translator } from '../model/words';
import { PlanView } from './PlanView';
import { ProblemNote } from './texts';

const OptionsForm = React.lazy(() => import('./OptionsForm'));

export interface InfrastructureFormProps {
  readonly templates: readonly Template[];
  readonly clouds: readonly Cloud[];
  /** Names that are taken. */
  readonly taken: readonly string[];
  readonly trans: Translator;
  readonly onPlan: (wanted: Wanted, signal: AbortSignal) => Promise<Plan>;
  readonly onCreate: (wanted: Wanted) => Promise<unknown>;
  readonly onCancel?: () => void;
}

/** A name as the service takes it. */
const NAME = '[a-z](-?[a-z0-9])*';

/** Stands for a template of one's own among those of the service. */
const OWN = '';

/** Seconds after nobody uses it; null is for ever. */
const LINGERS = [null, 3600, 8 * 3600, 24 * 3600] as const;

/** Milliseconds after the last key, before what would be created is asked for. */
const PAUSE = 400;

export function InfrastructureForm(props: InfrastructureFormProps): JSX.Element {
  const { templates } = props;
  const [chosen, setChosen] = React.useState(templates[0]?.name ?? OWN);
  const template = templates.find(({ name }) => name === chosen);
  // Another template is another form.
  return <Filled key={chosen} {...props} template={template} onTemplate={setChosen} />;
}

interface FilledProps extends InfrastructureFormProps {
  readonly template: Template | undefined;
  readonly onTemplate: (name: string) => void;
}

function Filled(props: FilledProps): JSX.Element {
  const { template, templates, clouds, trans, onTemplate } = props;
  const schema = React.useMemo(() => inputsOf(template?.inputs ?? {}), [template]);
  const [name, setName] = React.useState(() => free(template?.name ?? 'own', props.taken));
  const [values, setValues] = React.useState<Options>(() => shown(schema, withDefaults(schema, {})));
  const [valid, setValid] = React.useState(true);
  const [text, setText] = React.useState('');
  const [cloud, setCloud] = React.useState(clouds[0]?.name ?? '');
  const [linger, setLinger] = React.useState<number | null>(null);
  const [busy, setBusy] = React.useState(false);
  const [refused, setRefused] = React.useState<Problem | null>(null);
  const id = React.useId();

  const inputs = React.useMemo(() => given(schema, values), [schema, values]);
  const named = new RegExp(`^${NAME}$`).test(name) && name.length <= 40;
  const wanted = React.useMemo<Wanted>(
    () => ({ name, inputs, ...(template ? { template: template.name } : { text }), ...(cloud && { cloud }), ...(linger !== null && { linger }) }),
    [name, template, text, inputs, cloud, linger]
  );
  const complete = valid && (template !== undefined || text.trim() !== '');
  const planned = usePlan(wanted, complete && named, props.onPlan);
  const atField = [refused, planned.problem].find(one => one?.option && Object.hasOwn(schema.properties ?? {}, one.option.split('.')[0] ?? '')) ?? null;

  const create = async (): Promise<void> => {
    setBusy(true);
    setRefused(null);
    try {
      await props.onCreate(wanted);
    } catch (error) {
      setRefused(problemOf(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form
      className="dodas-Launch"
      aria-label={trans.__('New infrastructure')}
      noValidate
      onSubmit={event => {
        event.preventDefault();
        if (complete && named && !busy) {
          void create();
        }
      }}
    >
      <div className="dodas-Row dodas-Head">
        <h2>{trans.__('New infrastructure')}</h2>
        <select aria-label={trans.__('Template')} value={template?.name ?? OWN} onChange={event => onTemplate(event.target.value)}>
          {templates.map(one => (
            <option key={one.name} value={one.name}>
              {one.title}
            </option>
          ))}
          <option value={OWN}>{trans.__('A template of your own…')}</option>
        </select>
      </div>
      <p className="dodas-Help" dir="auto">
        {template ? template.description : trans.__('TOSCA Simple Profile, as YAML. What it imports is refused; its inputs have their defaults.')}
      </p>
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
              aria-invalid={!named}
              aria-describedby={`${id}-rule`}
              onChange={event => setName(event.target.value)}
            />
            <p id={`${id}-rule`} className="dodas-Help" role={named ? undefined : 'alert'}>
              {named ? '' : trans.__('Lower-case letters, digits and single hyphens, beginning with a letter.')}
            </p>
          </div>
          {template ? (
            <React.Suspense fallback={<p role="status">{trans.__('Opening the form…')}</p>}>
              <OptionsForm
                schema={schema}
                values={values}
                refused={atField}
                trans={trans}
                onValues={(next, isValid) => {
                  setValues(next);
                  setValid(isValid);
                  setRefused(null);
                }}
              />
            </React.Suspense>
          ) : (
            <div className="dodas-Field">
              <label htmlFor={`${id}-text`}>{trans.__('Template')}</label>
              <textarea id={`${id}-text`} rows={14} spellCheck={false} value={text} onChange={event => setText(event.target.value)} />
            </div>
          )}
        </div>
        <div>
          {clouds.length > 0 && (
            <div className="dodas-Field">
              <label htmlFor={`${id}-cloud`}>{trans.__('Where')}</label>
              <select id={`${id}-cloud`} value={cloud} onChange={event => setCloud(event.target.value)}>
                {clouds.map(one => (
                  <option key={`${one.group} ${one.name}`} value={one.name}>
                    {one.group ? trans.__('%1 (%2)', one.name, one.group) : one.name}
                  </option>
                ))}
              </select>
            </div>
          )}
          <div className="dodas-Field">
            <label htmlFor={`${id}-linger`}>{trans.__('How long')}</label>
            <select id={`${id}-linger`} value={String(linger)} onChange={event => setLinger(event.target.value === 'null' ? null : Number(event.target.value))}>
              {LINGERS.map(one => (
                <option key={String(one)} value={String(one)}>
                  {one === null ? trans.__('Until it is deleted') : trans.__('Until nobody has used it for %1', lasting(one))}
                </option>
              ))}
            </select>
          </div>
          <h3>{trans.__('What will be created')}</h3>
          <PlanView {...planned} problem={atField ? null : planned.problem} trans={trans} />
          <div className="dodas-Actions">
            <button type="submit" className="dodas-is-strong" disabled={busy || !complete || !named}>
              {trans.__('Create')}
            </button>
            {props.onCancel && (
              <button type="button" onClick={props.onCancel}>
                {trans.__('Cancel')}
              </button>
            )}
            <span role="status" className="dodas-Help">
              {busy ? trans.__('Asking…') : ''}
            </span>
          </div>
          {refused && !atField && <ProblemNote problem={refused} />}
        </div>
      </div>
    </form>
  );
}

/** What would be created by what stands in the form: asked for when nobody has changed anything for a moment. */
function usePlan(
  wanted: Wanted,
  complete: boolean,
  ask: InfrastructureFormProps['onPlan']
): { readonly plan: Plan | null; readonly problem: Problem | null; readonly busy: boolean } {
  const [plan, setPlan] = React.useState<Plan | null>(null);
  const [problem, setProblem] = React.useState<Problem | null>(null);
  const [busy, setBusy] = React.useState(true);
  const asking = React.useRef(ask);
  asking.current = ask;
  React.useEffect(() => {
    if (!complete) {
      return;
    }
    const control = new AbortController();
    setBusy(true);
    const timer = setTimeout(() => {
      asking
        .current(wanted, control.signal)
        .then(setPlan)
        .then(
          () => setProblem(null),
          (error: unknown) => control.signal.aborted || setProblem(problemOf(error))
        )
        .finally(() => control.signal.aborted || setBusy(false));
    }, PAUSE);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [wanted, complete]);
  return { plan, problem, busy };
}

/** A name that nobody has. */
function free(base: string, taken: readonly string[]): string {
  for (let number = 1; ; number++) {
    const name = number === 1 ? base : `${base}-${number}`;
    if (!taken.includes(name)) {
      return name;
    }
  }
}
