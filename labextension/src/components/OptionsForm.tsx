/** The options of a kind as a form, drawn by RJSF from their JSON Schema. A chunk of its own, loaded with the first form. */

// Its index leads to what RJSF tests itself with, and that to ajv.
import Form from '@rjsf/core/lib/components/Form.js';
import {
  type ArrayFieldItemTemplateProps,
  type ArrayFieldTemplateProps,
  type ErrorSchema,
  type FieldTemplateProps,
  type ObjectFieldTemplateProps,
  type OptionalDataControlsTemplateProps,
  type RJSFSchema,
  type UiSchema
} from '@rjsf/utils';
import * as React from 'react';

import { choices, FIRST, formSchema } from '../model/form';
import { INPUT } from '../model/profiles';
import type { Options, Problem, Schema } from '../model/records';
import type { Translator } from '../model/words';
import { blamed, validator, type Values } from './validator';

export interface OptionsFormProps {
  readonly schema: Schema;
  readonly values: Options;
  /** What the server refused. */
  readonly refused: Problem | null;
  readonly trans: Translator;
  readonly onValues: (values: Options, valid: boolean) => void;
}

interface Context {
  readonly trans: Translator;
}

export default function OptionsForm(props: OptionsFormProps): JSX.Element {
  const { schema, values, refused, trans, onValues } = props;
  const drawn = React.useMemo(() => formSchema(schema) as RJSFSchema, [schema]);
  const look = React.useMemo(() => validator(trans), [trans]);
  const context = React.useMemo<Context>(() => ({ trans }), [trans]);
  const extra = React.useMemo(() => blamed(refused), [refused]) as ErrorSchema<Values> | undefined;
  // Two forms may stand side by side.
  const id = React.useId();
  const adapts = typeof values['adapt'] === 'object' && values['adapt'] !== null;
  const ui = React.useMemo<UiSchema<Values, RJSFSchema, Context>>(
    () => ({
      'ui:order': [...FIRST, '*'],
      'ui:submitButtonOptions': { norender: true },
      ...choices(schema),
      workers: { 'ui:disabled': adapts }
    }),
    [adapts, schema]
  );
  return (
    <Form<Values, RJSFSchema, Context>
      className="dodas-Options"
      tagName="div"
      idPrefix={id}
      schema={drawn}
      uiSchema={ui}
      formData={values as Values}
      formContext={context}
      validator={look}
      extraErrors={extra}
      liveValidate
      noHtml5Validate
      showErrorList={false}
      // The values come with their defaults; what is then empty is meant to be.
      experimental_defaultFormStateBehavior={{ emptyObjectFields: 'skipDefaults' }}
      templates={TEMPLATES}
      translateString={(text, params) => trans.__(text, ...(params ?? []))}
      onChange={({ formData }) => onValues((formData ?? {}) as Options, look.isValid(drawn, formData, drawn))}
    />
  );
}

function Field(props: FieldTemplateProps<Values, RJSFSchema, Context>): JSX.Element {
  const { id, children, errors, rawErrors, help, hidden, schema, rawDescription, displayLabel, label, required } = props;
  if (hidden) {
    return <div hidden>{children}</div>;
  }
  const simple = schema.type !== 'object' && schema.type !== 'boolean' && schema.type !== 'array';
  return (
    <div className={`dodas-Field${rawErrors?.length ? ' dodas-is-bad' : ''}`}>
      {displayLabel && simple && (
        <label htmlFor={id}>
          {label}
          {required && ' *'}
        </label>
      )}
      {children}
      {simple && rawDescription && (
        <p className="dodas-Help" id={`${id}__description`}>
          {rawDescription}
        </p>
      )}
      <div role="alert">{errors}</div>
      {help}
    </div>
  );
}

/** At the root: what nearly everybody looks at, and the rest under More. */
function Group(props: ObjectFieldTemplateProps<Values, RJSFSchema, Context>): JSX.Element {
  const { properties, title, description, fieldPathId, schema, onAddProperty, disabled, optionalDataControl, registry } = props;
  const { trans } = registry.formContext;
  const root = fieldPathId.path.length === 0;
  const add = schema.additionalProperties ? (
    <button type="button" disabled={disabled} onClick={onAddProperty}>
      {trans.__('Add')}
    </button>
  ) : null;
  if (root) {
    const isFirst = (name: string): boolean => FIRST.includes(name) || name.startsWith(INPUT);
    const first = properties.filter(({ name }) => isFirst(name));
    const more = properties.filter(({ name }) => !isFirst(name));
    return (
      <>
        <div className="dodas-First">{first.map(({ content }) => content)}</div>
        {more.length > 0 && (
          <details>
            <summary>{trans.__('More')}</summary>
            {more.map(({ content }) => content)}
          </details>
        )}
      </>
    );
  }
  return (
    <fieldset>
      <legend>
        {optionalDataControl ? (
          <label>
            {optionalDataControl} {title}
          </label>
        ) : (
          title
        )}
      </legend>
      {description && <p className="dodas-Help">{schema.description}</p>}
      {properties.map(({ content }) => content)}
      {add}
    </fieldset>
  );
}

/** A list of things of one shape. */
function List(props: ArrayFieldTemplateProps<Values[], RJSFSchema, Context>): JSX.Element {
  const { items, title, schema, canAdd, disabled, onAddClick, registry } = props;
  const { trans } = registry.formContext;
  return (
    <fieldset>
      <legend>{title}</legend>
      {schema.description && <p className="dodas-Help">{schema.description}</p>}
      {items}
      {canAdd && (
        <button type="button" disabled={disabled} aria-label={trans.__('Add to %1', title)} onClick={onAddClick}>
          {trans.__('Add')}
        </button>
      )}
    </fieldset>
  );
}

function Item({ children, buttonsProps, disabled, registry }: ArrayFieldItemTemplateProps<Values[], RJSFSchema, Context>): JSX.Element {
  const { trans } = registry.formContext;
  return (
    <div className="dodas-Item">
      {children}
      {buttonsProps.hasRemove && (
        <button type="button" disabled={disabled} onClick={buttonsProps.onRemoveItem}>
          {trans.__('Remove')}
        </button>
      )}
    </div>
  );
}

/** Whether an object that may be left out is there; its title is the label. */
function Optional({ onAddClick, onRemoveClick }: OptionalDataControlsTemplateProps<Values, RJSFSchema, Context>): JSX.Element {
  return <input type="checkbox" checked={onRemoveClick !== undefined} onChange={() => (onRemoveClick ?? onAddClick)?.()} />;
}

function Errors({ errors = [] }: { errors?: readonly (string | React.ReactElement)[] }): JSX.Element | null {
  return errors.length ? (
    <ul className="dodas-Errors">
      {[...new Set(errors)].map((error, at) => (
        <li key={at} dir="auto">
          {error}
        </li>
      ))}
    </ul>
  ) : null;
}

// RJSF takes the values of a list for those of the whole form.
const LISTS = { ArrayFieldTemplate: List, ArrayFieldItemTemplate: Item };

const TEMPLATES = { ...(LISTS as object), FieldTemplate: Field, ObjectFieldTemplate: Group, OptionalDataControlsTemplate: Optional, FieldErrorTemplate: Errors };
