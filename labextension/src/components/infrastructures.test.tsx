import { cleanup, render, screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import * as React from 'react';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { Refused } from '../model/api';
import type { Cloud, Infrastructure, Infrastructures, Plan, Template } from '../model/infrastructures';
import { infrastructureReport } from '../model/provision';
import { english, type Translator } from '../model/words';
import { CloudList, type CloudForms } from './CloudList';
import { type InfrastructureActions, InfrastructureCard } from './InfrastructureCard';
import { InfrastructureForm, type InfrastructureFormProps } from './InfrastructureForm';
import { InfrastructureSection } from './InfrastructureSection';
import { barriers, LONG, NASTY, until } from './testing';

afterEach(cleanup);

const NOW = Date.now() / 1000;

function infrastructure(over: Partial<Infrastructure> = {}): Infrastructure {
  return {
    name: 'higgs',
    owner: 'user:ada',
    uid: `uid-${over.name ?? 'higgs'}`,
    template: 'kubernetes',
    provisioner: 'im',
    cloud: 'recas',
    inputs: {},
    workers: 2,
    linger: null,
    created: NOW,
    generation: 3,
    wanted: 'present',
    phase: 'ready',
    steps: [
      { name: 'Queued', started: NOW - 200, ended: NOW - 199, usually: 1 },
      { name: 'Machines', started: NOW - 199, ended: NOW - 100, usually: 90 }
    ],
    problem: null,
    identifier: 'abc',
    machines: [
      { id: '0', role: 'front_server', state: 'configured', addresses: ['10.0.0.1', '192.0.2.1'] },
      { id: '1', role: 'wn_server', state: 'running', addresses: ['10.0.0.2'] }
    ],
    outputs: { front_address: '192.0.2.1' },
    holders: [],
    ...over
  };
}

const PROBLEM = { code: 'provision-failed', message: 'A machine could not be configured', cause: 'fatal: no route to host', remedy: 'Create it again.' };

function actions(over: Partial<InfrastructureActions> = {}): InfrastructureActions {
  const done = (): Promise<void> => Promise.resolve();
  return { scale: vi.fn(done), remove: vi.fn(done), log: vi.fn(() => Promise.resolve('TASK [front]')), kubeconfig: vi.fn(done), copyReport: vi.fn(done), ...over };
}

function card(one: Infrastructure, acts = actions(), trans: Translator = english): { acts: InfrastructureActions; container: HTMLElement } {
  return { acts, container: render(<InfrastructureCard one={one} title="Kubernetes" actions={acts} trans={trans} />).container };
}

const press = (name: string): Promise<void> => userEvent.click(screen.getByRole('button', { name }));

describe('the card of an infrastructure', () => {
  it('tells how far it is, how long that took, and what is to come', () => {
    card(
      infrastructure({
        phase: 'starting',
        steps: [
          { name: 'Queued', started: NOW - 101, ended: NOW - 100, usually: 1 },
          { name: 'Machines', started: NOW - 100, ended: null, usually: 90 }
        ]
      })
    );
    const steps = screen.getAllByRole('listitem').slice(0, 3).map(item => item.textContent);
    expect(steps[0]).toBe('✓Queued1.0 s');
    expect(steps[1]).toMatch(/^◐Machines1 min 4\d s, usually 1 min 30 s$/);
    expect(steps[2]).toBe('○Kubernetes');
    expect(screen.getByText('Being made', { exact: false })).toBeTruthy();
    expect(screen.queryByRole('spinbutton')).toBeNull();
  });

  it('is not taken for one that can be cancelled while it is only changed', () => {
    card(infrastructure({ phase: 'starting', steps: [{ name: 'Machines', started: NOW, ended: null, usually: null }] }));
    expect(screen.getByText('Being changed', { exact: false })).toBeTruthy();
    expect(screen.getAllByRole('listitem').slice(0, 2).map(item => item.querySelector('span + span')?.textContent)).toEqual(['Machines', 'Kubernetes']);
    expect(screen.queryByRole('button', { name: 'Cancel' })).toBeNull();
    expect(screen.getByRole('button', { name: 'Delete' })).toBeTruthy();
  });

  it('tells what went wrong, why, and what to do, with a report to copy', async () => {
    const one = infrastructure({ phase: 'failed', problem: PROBLEM });
    const { acts } = card(one);
    expect(screen.getAllByRole('listitem').slice(0, 2).map(item => item.querySelector('span')?.textContent)).toEqual(['✓', '✕']);
    const said = screen.getByRole('alert').textContent;
    for (const part of [PROBLEM.message, PROBLEM.cause, PROBLEM.remedy]) {
      expect(said).toContain(part);
      expect(infrastructureReport(one, NOW)).toContain(part);
    }
    await press('Copy report');
    expect(acts.copyReport).toHaveBeenCalledOnce();
    expect(screen.queryByRole('button', { name: 'Kubeconfig' })).toBeNull();
  });

  it('is deleted after a question, and cancelled while it is made', async () => {
    const { acts } = card(infrastructure({ holders: ['ada/'] }));
    await press('Delete');
    expect(screen.getByRole('group', { name: 'Delete it? 1 notebook uses it.' })).toBeTruthy();
    expect(acts.remove).not.toHaveBeenCalled();
    await press('Delete');
    expect(acts.remove).toHaveBeenCalledOnce();
    cleanup();
    card(infrastructure({ phase: 'pending' }));
    expect(screen.getByRole('button', { name: 'Cancel' })).toBeTruthy();
    cleanup();
    card(infrastructure({ wanted: 'absent' }));
    expect(screen.getByText('Deleting', { exact: false })).toBeTruthy();
    expect(screen.queryByRole('button', { name: 'Delete' })).toBeNull();
  });

  it('grows by a button, and shrinks after a question', async () => {
    const { acts } = card(infrastructure());
    const field = screen.getByRole('spinbutton', { name: 'Workers' });
    await userEvent.clear(field);
    await userEvent.type(field, '4{Enter}');
    expect(acts.scale).toHaveBeenCalledExactlyOnceWith(expect.anything(), 4);
    await userEvent.clear(field);
    await userEvent.type(field, '1{Enter}');
    expect(acts.scale).toHaveBeenCalledOnce();
    await press('Scale down');
    expect(screen.getByText('1 machine goes, with what it holds.')).toBeTruthy();
    await press('Scale down');
    expect(acts.scale).toHaveBeenLastCalledWith(expect.anything(), 1);
  });

  it('has the log of its making, and its machines', async () => {
    const { acts } = card(infrastructure());
    await userEvent.click(screen.getByText('Log'));
    await waitFor(() => expect(screen.getByText('TASK [front]')).toBeTruthy());
    expect(acts.log).toHaveBeenCalled();
    const machines = within(screen.getByRole('list', { name: 'Machines of higgs', hidden: true }));
    expect(machines.getAllByRole('listitem', { hidden: true }).map(item => item.textContent)).toEqual([
      'Front end10.0.0.1, 192.0.2.1configured',
      'Worker10.0.0.2running'
    ]);
  });

  it('tells what was refused', async () => {
    card(infrastructure(), actions({ kubeconfig: () => Promise.reject(new Refused(PROBLEM, 409)) }));
    await press('Kubeconfig');
    await waitFor(() => expect(screen.getByRole('alert').textContent).toContain(PROBLEM.message));
    await press('Close');
    expect(screen.queryByRole('alert')).toBeNull();
  });

  it.each(['pending', 'starting', 'ready', 'degraded', 'stopping', 'failed'] as const)('keeps nobody out when %s', async phase => {
    const { container } = card(infrastructure({ phase, name: 'a', problem: { ...PROBLEM, message: NASTY }, linger: 60, outputs: { [NASTY]: LONG } }));
    expect(container.querySelector('img')).toBeNull();
    expect(await barriers(container)).toEqual([]);
  });

  it('has no word of its own', () => {
    const other: Translator = {
      __: (message, ...args) => `⟦${english.__(message, ...args)}⟧`,
      _n: (one, many, n, ...args) => `⟦${english._n(one, many, n, ...args)}⟧`
    };
    const { container } = card(infrastructure({ phase: 'degraded', linger: 60, holders: ['ada/'] }), actions(), other);
    const said = [...container.querySelectorAll('*')].flatMap(element => [
      ...[...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE).map(node => node.textContent ?? ''),
      element.getAttribute('aria-label') ?? ''
    ]);
    // Names, and what the provisioner says.
    const theirs = /^(higgs|Kubernetes|configured|running|front address)$/;
    expect(said.map(text => text.replace(/⟦.*⟧/gs, '').trim()).filter(text => /\p{L}/u.test(text) && !theirs.test(text))).toEqual([]);
  });
});

const LIVE: Infrastructures = { state: 'live', available: true, infrastructures: [], templates: [], clouds: [], problem: null };

function section(snapshot: Partial<Infrastructures>): { onNew: () => void; onRetry: () => void; container: HTMLElement } {
  const [onNew, onRetry] = [vi.fn(), vi.fn()];
  const { container } = render(
    <InfrastructureSection snapshot={{ ...LIVE, ...snapshot }} templates={[]} actions={actions()} trans={english} onNew={onNew} onRetry={onRetry} />
  );
  return { onNew, onRetry, container };
}

describe('the list of infrastructures', () => {
  it('is not there where nobody makes any', () => {
    expect(section({ available: false }).container.innerHTML).toBe('');
  });

  it('says that there is none yet, and leads to the form', async () => {
    const { onNew } = section({});
    expect(screen.getByText('No infrastructure yet.')).toBeTruthy();
    await press('New infrastructure');
    expect(onNew).toHaveBeenCalledOnce();
  });

  it('is gone through by keys', async () => {
    section({ infrastructures: [infrastructure(), infrastructure({ name: 'top' })] });
    screen.getByRole('article', { name: 'higgs' }).focus();
    await userEvent.keyboard('{ArrowDown}');
    expect(document.activeElement).toBe(screen.getByRole('article', { name: 'top' }));
    await userEvent.tab();
    await userEvent.keyboard('{Escape}');
    expect(document.activeElement).toBe(screen.getByRole('article', { name: 'top' }));
  });

  it('stays in view while the service is away', async () => {
    const { onRetry } = section({ state: 'offline', infrastructures: [infrastructure()] });
    expect(screen.getByText(/does not answer/)).toBeTruthy();
    expect(screen.getByRole('article', { name: 'higgs' })).toBeTruthy();
    await press('Try again');
    expect(onRetry).toHaveBeenCalledOnce();
  });
});

const TEMPLATE: Template = {
  name: 'kubernetes',
  title: 'Kubernetes',
  description: 'A cluster of machines.',
  digest: '0',
  inputs: {
    type: 'object',
    additionalProperties: false,
    properties: {
      workers: { type: 'integer', title: 'Workers', default: 2, minimum: 0, maximum: 100 },
      memory: { type: 'string', title: 'Memory', default: '4 GiB' },
      unknown: { type: 'array', default: [] },
      charts: {
        type: 'array',
        title: 'Charts',
        default: [],
        items: { type: 'object', title: 'Chart', required: ['name'], properties: { name: { type: 'string', title: 'Chart name' } } }
      },
      kubernetes_version: { type: 'string' },
      installer: { type: 'string', title: 'Installer', default: 'k3s', enum: ['k3s', 'programs'] }
    }
  }
};

const PLAN: Plan = {
  machines: [
    { role: 'front_server', count: 1, cores: 2, memory: 2 ** 32, disk: 0, public: true },
    { role: 'wn_server', count: 2, cores: 2, memory: 2 ** 32, disk: 20 * 2 ** 30, public: false }
  ],
  quota: [{ name: 'cores', asked: 6, used: 30, limit: 32 }],
  notes: ['Machines of this kind cost something.']
};

async function form(over: Partial<InfrastructureFormProps> = {}): Promise<{ props: InfrastructureFormProps; container: HTMLElement }> {
  const props: InfrastructureFormProps = {
    templates: [TEMPLATE],
    clouds: [{ name: 'recas', kind: 'openstack', group: '', public: {} }],
    taken: ['kubernetes'],
    trans: english,
    onPlan: vi.fn(() => Promise.resolve(PLAN)),
    onCreate: vi.fn(() => Promise.resolve()),
    onCancel: vi.fn(),
    ...over
  };
  const { container } = render(<InfrastructureForm {...props} />);
  await screen.findByRole('spinbutton', { name: 'Workers' }, { timeout: 20_000 });
  return { props, container };
}

describe('the form for a new infrastructure', () => {
  it('shows what will be created, and asks for what was filled in', async () => {
    const { props, container } = await form();
    await screen.findByText('3 machines, 6 cores, 12 GiB', undefined, { timeout: 20_000 });
    const [front, workers] = within(screen.getByRole('list', { name: 'Machines' })).getAllByRole('listitem');
    expect(front?.textContent).toBe('1 × Front end2 cores, 4 GiB, public address');
    expect(workers?.textContent).toBe('2 × Worker2 cores, 4 GiB, 20 GiB disk');
    expect(screen.getByRole('meter', { name: 'Quota of cores' }).getAttribute('aria-valuetext')).toBe('cores: 30 + 6 of 32');
    expect(screen.getByText(/more than the cloud lets you have/)).toBeTruthy();
    expect(await barriers(container)).toEqual([]);
    expect(screen.getByRole('textbox', { name: 'Kubernetes version', hidden: true })).toBeTruthy();

    const field = screen.getByRole('spinbutton', { name: 'Workers' });
    await userEvent.clear(field);
    await userEvent.type(field, '3');
    expect((screen.getByRole('combobox', { name: 'Where' }) as HTMLSelectElement).value).toBe('recas');
    await userEvent.selectOptions(screen.getByRole('combobox', { name: 'How long' }), '3600');
    await press('Create');
    expect(props.onCreate).toHaveBeenCalledExactlyOnceWith({ name: 'kubernetes-2', template: 'kubernetes', inputs: { workers: 3 }, cloud: 'recas', linger: 3600 });
    await until(() => vi.mocked(props.onPlan).mock.lastCall?.[0].inputs['workers'] === 3);
  });

  it('takes lists of things', async () => {
    const { props, container } = await form();
    await userEvent.click(screen.getByText('More'));
    await press('Add to Charts');
    expect(screen.getByRole('button', { name: 'Create' }).hasAttribute('disabled')).toBe(true);
    await userEvent.type(screen.getByRole('textbox', { name: 'Chart name *' }), 'nginx');
    expect(await barriers(container)).toEqual([]);
    await press('Create');
    expect(vi.mocked(props.onCreate).mock.lastCall?.[0].inputs).toEqual({ charts: [{ name: 'nginx' }] });
    await press('Remove');
    await press('Create');
    expect(vi.mocked(props.onCreate).mock.lastCall?.[0].inputs).toEqual({});
  });

  it('asks for nothing that cannot be', async () => {
    const { props } = await form();
    await userEvent.clear(screen.getByRole('textbox', { name: 'Name' }));
    await userEvent.type(screen.getByRole('textbox', { name: 'Name' }), 'No Name');
    expect(screen.getByRole('button', { name: 'Create' }).hasAttribute('disabled')).toBe(true);
    expect(props.onCreate).not.toHaveBeenCalled();
  });

  it('says at its field what was refused, and anything else beside the button', async () => {
    const refuse = (option: string): (() => Promise<never>) => () =>
      Promise.reject(new Refused({ code: 'invalid-option', message: 'workers=2 is too many', cause: '', remedy: '', option }, 400));
    await form({ onPlan: refuse('workers') });
    await waitFor(() => expect(screen.getByText(/workers=2 is too many/).closest('.dodas-Field')).toBeTruthy(), { timeout: 20_000 });
    cleanup();
    await form({ onCreate: refuse('') });
    await press('Create');
    await waitFor(() => expect(screen.getByText(/workers=2 is too many/).closest('.dodas-Note')).toBeTruthy());
  });

  it('takes a template of somebody own', async () => {
    const { props } = await form();
    await userEvent.selectOptions(screen.getByRole('combobox', { name: 'Template' }), '');
    expect(screen.getByRole('button', { name: 'Create' }).hasAttribute('disabled')).toBe(true);
    await userEvent.type(screen.getByRole('textbox', { name: 'Template' }), 'tosca_definitions_version: x');
    await press('Create');
    expect(props.onCreate).toHaveBeenCalledExactlyOnceWith({ name: 'own', text: 'tosca_definitions_version: x', inputs: {}, cloud: 'recas' });
  });
});

const FORMS: CloudForms = {
  ec2: {
    title: 'EC2',
    type: 'object',
    required: ['name', 'username', 'password'],
    properties: {
      kind: { const: 'ec2' },
      name: { type: 'string' },
      username: { type: 'string', title: 'Access key', pattern: '^[A-Za-z0-9]+$' },
      password: { type: 'string', title: 'Secret key', format: 'password' }
    }
  }
};

describe('credentials for clouds', () => {
  it('are given, and the secret is nowhere afterwards', async () => {
    const onAdd = vi.fn(() => Promise.resolve());
    const { container } = render(<CloudList clouds={[]} forms={FORMS} trans={english} onAdd={onAdd} onRemove={vi.fn()} />);
    await press('Add a cloud');
    expect(screen.getByLabelText('Secret key *').getAttribute('type')).toBe('password');
    await userEvent.type(screen.getByLabelText('Name *'), 'aws');
    await userEvent.type(screen.getByLabelText('Access key *'), 'a;b');
    await userEvent.type(screen.getByLabelText('Secret key *'), 'hush');
    expect(screen.getByRole('button', { name: 'Add' }).hasAttribute('disabled')).toBe(true);
    await userEvent.clear(screen.getByLabelText('Access key *'));
    await userEvent.type(screen.getByLabelText('Access key *'), 'AKIA');
    expect(await barriers(container)).toEqual([]);
    await press('Add');
    expect(onAdd).toHaveBeenCalledExactlyOnceWith({ kind: 'ec2', name: 'aws', username: 'AKIA', password: 'hush' });
    await waitFor(() => expect(screen.queryByLabelText('Secret key *')).toBeNull());
    expect(container.innerHTML).not.toContain('hush');
  });

  it('are forgotten after a question, but for those of a group', async () => {
    const onRemove = vi.fn(() => Promise.resolve());
    const clouds: readonly Cloud[] = [
      { name: 'aws', kind: 'ec2', group: '', public: { username: 'AKIA' } },
      { name: 'ours', kind: 'ec2', group: 'cms', public: {} }
    ];
    render(<CloudList clouds={clouds} forms={FORMS} trans={english} onAdd={vi.fn()} onRemove={onRemove} />);
    await press('Remove');
    expect(onRemove).not.toHaveBeenCalled();
    await press('Remove');
    expect(onRemove).toHaveBeenCalledExactlyOnceWith('aws');
  });
});
