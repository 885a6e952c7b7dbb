/** Credentials for clouds: which there are, and a form to give others. A secret that was given is never shown again, to nobody. */

import * as React from 'react';

import { problemOf } from '../model/api';
import type { Cloud } from '../model/infrastructures';
import type { Options, Problem, Schema } from '../model/records';
import type { Translator } from '../model/words';
import { useTask } from './hooks';
import { Sure } from './Sure';
import { ProblemNote } from './texts';

/** What each kind of cloud is to be told, by the kind. */
export interface CloudForms {
  readonly [kind: string]: Schema;
}

export interface CloudListProps {
  readonly clouds: readonly Cloud[];
  readonly forms: CloudForms;
  readonly trans: Translator;
  readonly onAdd: (cloud: Options & { readonly name: string }) => Promise<unknown>;
  readonly onRemove: (name: string) => Promise<unknown>;
}

export function CloudList(props: CloudListProps): JSX.Element {
  const { clouds, forms, trans } = props;
  const [adding, setAdding] = React.useState(false);
  const { busy, refused, run } = useTask();
  const button = React.useRef<HTMLButtonElement>(null);
  const close = (): void => {
    setAdding(false);
    // The form is gone, and with it what had the focus.
    requestAnimationFrame(() => button.current?.focus());
  };
  return (
    <section className="dodas-List dodas-Clouds" aria-label={trans.__('Clouds')}>
      <div className="dodas-Row dodas-Head">
        <h2>{trans.__('Clouds')}</h2>
        {!adding && (
          <button type="button" ref={button} onClick={() => setAdding(true)} aria-label={trans.__('Add a cloud')}>
            {trans.__('+ Add')}
          </button>
        )}
      </div>
      {clouds.length === 0 && !adding && (
        <p className="dodas-Help">{trans.__('None yet. Give credentials of a cloud in which machines may be made for you, unless this hub has some for all.')}</p>
      )}
      <ul className="dodas-Machines" aria-label={trans.__('Credentials')}>
        {clouds.map(cloud => (
          <li key={`${cloud.group} ${cloud.name}`} className="dodas-Row">
            <strong dir="auto">{cloud.name}</strong>
            <span className="dodas-Kind">{forms[cloud.kind]?.title ?? cloud.kind}</span>
            <span className="dodas-Facts" dir="auto">
              {Object.values(cloud.public).join(' · ')}
            </span>
            <span className="dodas-Space" />
            {cloud.group ? (
              <span className="dodas-Facts">{trans.__('of %1', cloud.group)}</span>
            ) : (
              <Sure
                label={trans.__('Remove')}
                question={trans.__('Forget these credentials? What was made with them can then not be deleted.')}
                busy={busy}
                trans={trans}
                run={run}
                onSure={() => props.onRemove(cloud.name)}
              />
            )}
          </li>
        ))}
      </ul>
      {refused && <ProblemNote problem={refused} />}
      {adding && <AddCloud {...props} onDone={close} />}
    </section>
  );
}

/** A name as the service takes it. */
const NAME = '[a-z](-?[a-z0-9])*';

function AddCloud({ forms, trans, onAdd, onDone }: CloudListProps & { readonly onDone: () => void }): JSX.Element {
  const kinds = Object.keys(forms);
  const [kind, setKind] = React.useState(kinds[0] ?? '');
  const [values, setValues] = React.useState<{ readonly [name: string]: string }>({});
  const [busy, setBusy] = React.useState(false);
  const [refused, setRefused] = React.useState<Problem | null>(null);
  const id = React.useId();
  const first = React.useRef<HTMLSelectElement>(null);
  React.useEffect(() => first.current?.focus(), []);
  const schema = forms[kind] ?? {};
  const fields = Object.entries(schema.properties ?? {}).filter(([name]) => name !== 'kind' && name !== 'name');
  const needed = new Set(schema.required ?? []);
  const wrong = Object.entries({ name: { pattern: `^${NAME}$` }, ...schema.properties }).filter(
    ([name, one]) => one.pattern !== undefined && (values[name] ?? '') !== '' && !new RegExp(one.pattern, 'u').test(values[name] ?? '')
  );
  const missing = ['name', ...needed].some(name => name !== 'kind' && !values[name]);

  const add = async (): Promise<void> => {
    setBusy(true);
    setRefused(null);
    try {
      const given = Object.fromEntries(fields.flatMap(([name]) => (values[name] ? [[name, values[name]]] : [])));
      await onAdd({ kind, name: values['name'] ?? '', ...given });
      setValues({});
      onDone();
    } catch (error) {
      setRefused(problemOf(error));
    } finally {
      setBusy(false);
    }
  };
  const input = (name: string, label: string, secret: boolean, required: boolean): JSX.Element => {
    const bad = wrong.some(([one]) => one === name);
    return (
      <div key={name} className={`dodas-Field${bad ? ' dodas-is-bad' : ''}`}>
        <label htmlFor={`${id}-${name}`}>
          {label}
          {required && ' *'}
        </label>
        <input
          id={`${id}-${name}`}
          type={secret ? 'password' : 'text'}
          autoComplete={secret ? 'new-password' : 'off'}
          spellCheck={false}
          required={required}
          aria-invalid={bad}
          value={values[name] ?? ''}
          onChange={event => setValues({ ...values, [name]: event.target.value })}
        />
        <div role="alert">{bad && <p className="dodas-Help">{trans.__('It has characters that cannot stand here.')}</p>}</div>
      </div>
    );
  };
  return (
    <form
      className="dodas-Launch dodas-AddCloud"
      aria-label={trans.__('Add a cloud')}
      noValidate
      onSubmit={event => {
        event.preventDefault();
        if (!missing && wrong.length === 0 && !busy) {
          void add();
        }
      }}
    >
      <div className="dodas-Field">
        <label htmlFor={`${id}-kind`}>{trans.__('Kind')}</label>
        <select id={`${id}-kind`} ref={first} value={kind} onChange={event => setKind(event.target.value)}>
          {kinds.map(one => (
            <option key={one} value={one}>
              {forms[one]?.title ?? one}
            </option>
          ))}
        </select>
      </div>
      {schema.description && <p className="dodas-Help">{schema.description}</p>}
      {input('name', trans.__('Name'), false, true)}
      {fields.map(([name, one]) => input(name, one.title ?? name, isSecret(one), needed.has(name)))}
      <div className="dodas-Actions">
        <button type="submit" className="dodas-is-strong" disabled={busy || missing || wrong.length > 0}>
          {trans.__('Add')}
        </button>
        <button type="button" onClick={onDone}>
          {trans.__('Cancel')}
        </button>
        <span role="status" className="dodas-Help">
          {busy ? trans.__('Asking…') : trans.__('Secrets are kept encrypted, and never shown again.')}
        </span>
      </div>
      {refused && <ProblemNote problem={refused} />}
    </form>
  );
}

function isSecret({ format, anyOf }: Schema): boolean {
  return format === 'password' || (anyOf ?? []).some(isSecret);
}
