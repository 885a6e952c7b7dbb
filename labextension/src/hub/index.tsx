/** The form on the hub's page where a notebook is started, in place of the one that works without scripts. It posts the same fields. */

import * as React from 'react';
import { createRoot } from 'react-dom/client';

import { QuotaBar } from '../components/QuotaBar';
import { SpawnForm } from '../components/SpawnForm';
import { type Offer, PROFILE } from '../model/profiles';
import type { Options, Quota } from '../model/records';
import { english } from '../model/words';

function draw(): void {
  const room = document.querySelector<HTMLElement>('[data-quota]');
  if (room?.dataset['quota']) {
    const quota = JSON.parse(room.dataset['quota']) as Quota;
    createRoot(room).render(<Room quota={quota} />);
  }
  const fields = document.querySelector<HTMLFieldSetElement>('fieldset[data-form]');
  if (fields?.dataset['form'] && fields.form) {
    const offer = JSON.parse(fields.dataset['form']) as Offer;
    createRoot(fields).render(<SpawnForm offer={{ ...offer, chosen: { ...offer.chosen, ...standing(fields.form, offer) } }} trans={english} />);
  }
}

function Room({ quota }: { quota: Quota }): JSX.Element {
  return (
    <>
      <QuotaBar quota={quota} trans={english} />
      <p className="help">{english.__('This is for the clusters that you launch; a notebook takes nothing of it.')}</p>
    </>
  );
}

/** What stands in the form already: somebody may have been quicker than this script, or the browser remembers it. */
function standing(form: HTMLFormElement, { profiles }: Offer): Options {
  const sent = new FormData(form);
  const profile = profiles.find(({ name }) => name === sent.get(PROFILE));
  const options = Object.entries(profile?.schema.properties ?? {}).flatMap(([name, { enum: offered = [] }]) => {
    const value = offered.find(one => String(one) === sent.get(`${profile?.name}.${name}`));
    return value === undefined ? [] : [[name, value] as const];
  });
  return profile ? { [PROFILE]: profile.name, ...Object.fromEntries(options) } : {};
}

draw();
