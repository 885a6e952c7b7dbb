/** Which notebook to start: profiles as cards, and in the chosen one what there is to choose. It stands within a form, which posts its fields. */

import * as React from 'react';

import { about, had, type Offer, open, type Plan, planned, type Profile, PROFILE } from '../model/profiles';
import type { Options, Problem } from '../model/records';
import type { Translator } from '../model/words';
import OptionsForm from './OptionsForm';

export interface SpawnFormProps {
  readonly offer: Offer;
  readonly trans: Translator;
}

export function SpawnForm({ offer, trans }: SpawnFormProps): JSX.Element {
  const { profiles, chosen } = offer;
  const [name, setName] = React.useState(chosen[PROFILE] ?? profiles[0]?.name);
  return (
    <>
      <legend>{trans.__('Which notebook')}</legend>
      {profiles.map(profile => (
        <Card
          key={profile.name}
          profile={profile}
          chosen={profile.name === chosen[PROFILE] ? chosen : {}}
          refused={profile.name === chosen[PROFILE] ? offer.refused : null}
          selected={profile.name === name}
          trans={trans}
          onSelect={setName}
        />
      ))}
    </>
  );
}

interface CardProps {
  readonly profile: Profile;
  readonly chosen: Options;
  readonly refused: Problem | null;
  readonly selected: boolean;
  readonly trans: Translator;
  readonly onSelect: (name: string) => void;
}

function Card({ profile, chosen, refused, selected, trans, onSelect }: CardProps): JSX.Element {
  const [values, setValues] = React.useState(() => had(profile, chosen));
  const [blamed, setBlamed] = React.useState(refused);
  const schema = React.useMemo(() => open(profile), [profile]);
  const names = Object.keys(schema.properties ?? {});
  const id = React.useId();
  const said = about(profile, trans, selected ? values : undefined);
  const plan = planned(profile, values);
  return (
    <div className="choice">
      <input
        type="radio"
        name={PROFILE}
        id={id}
        value={profile.name}
        checked={selected}
        required
        aria-describedby={said ? `${id}-about` : undefined}
        onChange={() => onSelect(profile.name)}
      />
      <div>
        <label className="title" htmlFor={id} dir="auto">
          {profile.title}
          {profile.last && <span className="tag">{trans.__('last used')}</span>}
        </label>
      </div>
      <div className="rest">
        {said && (
          <p className="help" id={`${id}-about`} dir="auto">
            {said}
          </p>
        )}
        {selected && names.length > 0 && (
          <div className="fields" role="group" aria-label={trans.__('Of %1', profile.title)}>
            <OptionsForm
              schema={schema}
              values={Object.fromEntries(names.map(option => [option, values[option] ?? null]))}
              refused={blamed}
              trans={trans}
              onValues={next => {
                setValues({ ...values, ...next });
                setBlamed(null);
              }}
            />
          </div>
        )}
        {selected && plan && <Made plan={plan} trans={trans} />}
        {selected &&
          names.map(option => (
            <input key={option} type="hidden" name={`${profile.name}.${option}`} value={String(values[option])} />
          ))}
      </div>
    </div>
  );
}

/** What will be created, for whoever wants to know. */
function Made({ plan, trans }: { readonly plan: Plan; readonly trans: Translator }): JSX.Element {
  return (
    <details className="made">
      <summary>{trans.__('What will be created')}</summary>
      {plan.machines.length > 0 ? (
        <dl>
          {plan.machines.map(({ name, size }) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{size}</dd>
            </div>
          ))}
        </dl>
      ) : (
        <p>{trans.__('A cluster that is there; no machines are made.')}</p>
      )}
      <p>
        {plan.template && `${trans.__('Template %1', plan.template)}. `}
        {plan.stays}
      </p>
    </details>
  );
}
