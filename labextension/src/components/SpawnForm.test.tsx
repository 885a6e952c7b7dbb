import { cleanup, render, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import * as React from 'react';
import { afterEach, expect, test } from 'vitest';

import { about, had, open, type Profile, takes } from '../model/profiles';
import type { Options, Problem } from '../model/records';
import { english } from '../model/words';
import { SpawnForm } from './SpawnForm';
import { barriers, LONG, NASTY } from './testing';

afterEach(cleanup);

const SMALL: Profile = {
  name: 'small',
  title: 'Small',
  description: 'For trying things out.',
  usually: 8.96,
  last: true,
  schema: {
    type: 'object',
    additionalProperties: false,
    properties: {
      cores: { const: 1, default: 1, title: 'Cores', type: 'integer' },
      memory: { const: '2 GiB', default: '2 GiB', title: 'Memory', type: 'string' },
      profile: { const: 'small', default: 'small', title: 'Profile', type: 'string' }
    }
  },
  plans: []
};
const LARGE: Profile = {
  name: 'large',
  title: NASTY,
  description: LONG,
  usually: null,
  last: false,
  schema: {
    type: 'object',
    additionalProperties: false,
    properties: {
      cores: { enum: [2, 4], default: 2, title: 'Cores', type: 'integer' },
      memory: { enum: ['4 GiB', '8 GiB'], default: '4 GiB', title: 'Memory', type: 'string' },
      image: { enum: ['lab:1', 'lab:2'], default: 'lab:1', title: 'Image', type: 'string' },
      profile: { const: 'large', default: 'large', title: 'Profile', type: 'string' }
    }
  },
  plans: []
};
const MADE: Profile = {
  ...SMALL,
  name: 'made',
  title: 'Kubernetes',
  description: '',
  usually: null,
  last: false,
  schema: {
    ...SMALL.schema,
    properties: { input_workers: { enum: [2, 5], default: 2, title: 'Workers' }, ...SMALL.schema.properties }
  },
  plans: [2, 5].map(workers => ({
    inputs: { input_workers: workers },
    template: 'Kubernetes, version 88d3790a',
    machines: [{ name: `${workers} workers`, size: '2 cores, 4 GiB' }],
    stays: 'It is deleted with the last notebook on it.'
  }))
};

function shown(chosen: Options = { profile: 'small' }, refused: Problem | null = null): HTMLFormElement {
  render(
    <form aria-label="Start">
      <fieldset>
        <SpawnForm offer={{ profiles: [SMALL, LARGE, MADE], chosen, refused }} trans={english} />
      </fieldset>
    </form>
  );
  return screen.getByRole<HTMLFormElement>('form');
}

/** What the hub reads of it: see `read` in `jupyter_dodas.hub.form`. */
function sent(form: HTMLFormElement): Options {
  const fields = [...new FormData(form)].filter(([name]) => name === 'profile' || name.includes('.'));
  return Object.fromEntries(fields.map(([name, value]) => [name, String(value)]));
}

test('a profile in words', () => {
  expect(about(SMALL, english)).toBe('For trying things out. 1 core, 2 GiB. Usually 9.0 s.');
  expect(takes(LARGE, english)).toBe('2 to 4 cores, 4 GiB to 8 GiB');
  expect(takes(LARGE, english, { cores: 4, memory: '4 GiB', image: 'lab:2' })).toBe('4 cores, 4 GiB, lab:2');
  expect(Object.keys(open(SMALL).properties ?? {})).toEqual([]);
  expect(had(LARGE, { cores: 64, memory: '8 GiB' })).toEqual({ cores: 2, memory: '8 GiB', image: 'lab:1' });
});

test('what is chosen is what is sent', async () => {
  const form = shown();
  expect(sent(form)).toEqual({ profile: 'small' });
  await userEvent.click(within(form).getByText(NASTY));
  await userEvent.selectOptions(await screen.findByLabelText('Cores'), '4');
  expect(sent(form)).toEqual({ profile: 'large', 'large.cores': '4', 'large.memory': '4 GiB', 'large.image': 'lab:1' });
  // Another look, and back: what was chosen is chosen still.
  await userEvent.click(screen.getByRole('radio', { name: /Small/ }));
  expect(sent(form)).toEqual({ profile: 'small' });
  await userEvent.click(within(form).getByText(NASTY));
  expect(sent(form)).toMatchObject({ profile: 'large', 'large.cores': '4' });
});

test('what will be created follows what is chosen', async () => {
  const form = shown();
  expect(screen.queryByText('What will be created')).toBeNull();
  await userEvent.click(within(form).getByText('Kubernetes'));
  await userEvent.click(screen.getByText('What will be created'));
  expect(screen.getByText('2 workers')).toBeTruthy();
  await userEvent.selectOptions(await screen.findByLabelText('Workers'), '5');
  expect(screen.getByText('5 workers')).toBeTruthy();
  expect(screen.getByText(/Template Kubernetes, version 88d3790a\. It is deleted/)).toBeTruthy();
  expect(sent(form)).toMatchObject({ profile: 'made', 'made.input_workers': '5' });
  expect(await barriers(form)).toEqual([]);
});

test('the last choice, what is refused, and nothing that could do harm', async () => {
  const refused = { code: 'invalid-option', message: 'cores=64 is not offered', cause: '', remedy: 'Choose 2 or 4', option: 'cores' };
  const form = shown({ profile: 'large', memory: '8 GiB' }, refused);
  expect(screen.getByRole('radio', { name: /Small last used/ })).toHaveProperty('checked', false);
  expect(await screen.findByText('cores=64 is not offered. Choose 2 or 4.')).toBeTruthy();
  expect(sent(form)).toMatchObject({ 'large.memory': '8 GiB' });
  expect(await barriers(form)).toEqual([]);
  expect('broken' in globalThis).toBe(false);
  await userEvent.selectOptions(screen.getByLabelText('Cores'), '4');
  expect(screen.queryByText(/not offered/)).toBeNull();
});
