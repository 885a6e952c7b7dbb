import { cleanup, fireEvent, render, screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import * as React from 'react';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { Refused } from '../model/api';
import type { Problem } from '../model/records';
import { english } from '../model/words';
import { ClusterCard } from './ClusterCard';
import { LaunchForm } from './LaunchForm';
import { barriers, cluster, DASK, QUOTA } from './testing';

afterEach(cleanup);

const SOON = { timeout: 20_000 };
const PROBLEM: Problem = { code: 'quota-exceeded', message: '20 workers asked for, the limit is 18', cause: '', remedy: '', retry: { workers: 18 } };

const press = async (name: string): Promise<void> => userEvent.click(await screen.findByRole('button', { name }, SOON));

describe('a card', () => {
  it('asks for what would do', async () => {
    const change = vi.fn().mockRejectedValueOnce(new Refused(PROBLEM, 422)).mockResolvedValue(undefined);
    const { container } = render(<ClusterCard cluster={cluster()} kind={DASK} actions={{ change, stop: vi.fn() }} trans={english} />);
    const number = screen.getByRole('spinbutton', { name: 'Number of workers' });
    fireEvent.change(number, { target: { value: '20' } });
    fireEvent.blur(number);
    await screen.findByRole('button', { name: 'Ask for 18 workers' }, SOON);
    expect(await barriers(container)).toEqual([]);
    await press('Ask for 18 workers');
    expect(change).toHaveBeenLastCalledWith(expect.anything(), { workers: 18 });
    await waitFor(() => expect(screen.queryByText(PROBLEM.message)).toBeNull(), SOON);
  });

  it('starts again with what would do after a failure', async () => {
    const change = vi.fn(() => Promise.resolve());
    const failed = cluster({ phase: 'failed', status: { problem: PROBLEM } });
    render(<ClusterCard cluster={failed} kind={DASK} actions={{ change, stop: vi.fn() }} trans={english} />);
    await press('Start again with 18 workers');
    expect(change).toHaveBeenCalledWith(failed, { workers: 18, restart: true });
  });

  it('has no button for what only another cluster can have', () => {
    const failed = cluster({ phase: 'failed', status: { problem: { ...PROBLEM, retry: { memory: 2 ** 30 } } } });
    render(<ClusterCard cluster={failed} kind={DASK} actions={{ change: vi.fn(), stop: vi.fn() }} trans={english} />);
    expect(screen.queryByRole('button', { name: /with/ })).toBeNull();
  });
});

describe('the form', () => {
  const form = (problem: Problem): { launch: ReturnType<typeof vi.fn> } => {
    const launch = vi.fn().mockRejectedValueOnce(new Refused(problem, 422)).mockResolvedValue(undefined);
    const rest = { kinds: [DASK], kind: 'dask', quota: QUOTA, remembered: () => undefined, trans: english, onCopy: vi.fn() };
    render(<LaunchForm {...rest} onLaunch={launch} />);
    return { launch };
  };
  const field = (name: string): Promise<HTMLInputElement> => screen.findByLabelText<HTMLInputElement>(name, undefined, SOON);

  it('fills in what would do, and asks once that is wanted', async () => {
    const { launch } = form(PROBLEM);
    const workers = await field('Workers');
    await userEvent.clear(workers);
    await userEvent.type(workers, '20');
    await press('Launch');
    await press('Ask for 18 workers');
    expect((await field('Workers')).value).toBe('18');
    expect(screen.queryByText(PROBLEM.message)).toBeNull();
    expect(screen.getByText('Filled in: 18 workers.')).toBeTruthy();
    expect(launch).toHaveBeenCalledTimes(1);
    expect(document.activeElement).toBe(screen.getByRole('button', { name: 'Launch' }));
    await press('Launch');
    expect(launch).toHaveBeenLastCalledWith('dask', '', { workers: 18 });
  });

  it('knows another name, and a size for a field that is to blame', async () => {
    const { launch } = form({ ...PROBLEM, message: 'too small', option: 'memory', retry: { memory: 2 ** 27, name: 'higgs-2' } });
    await field('Workers');
    await press('Launch');
    await press('Ask for memory 128 MiB, name higgs-2');
    expect((await field('Memory')).value).toBe('128 MiB');
    await press('Launch');
    expect(launch).toHaveBeenLastCalledWith('dask', 'higgs-2', { memory: '128 MiB' });
  });
});
