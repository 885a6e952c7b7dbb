import { cleanup, fireEvent, render, screen, within } from '@testing-library/react';
import * as React from 'react';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { holds, news } from '../model/news';
import type { Problem } from '../model/records';
import { groups } from '../model/view';
import { english } from '../model/words';
import { ClusterCard } from './ClusterCard';
import { LaunchForm } from './LaunchForm';
import { barriers, cluster, DASK, QUOTA } from './testing';

afterEach(cleanup);

const OPTIONS = { workers: 2, groups: { gpu: { workers: 3, adapt: null }, spare: { workers: 1, adapt: { minimum: 0, maximum: 4 } } } };
const TWO_SHAPES = cluster({ spec: { options: OPTIONS }, status: { targets: { worker: 2, gpu: 3, spare: 1 } } });

describe('groups of workers', () => {
  it('are read from what was asked and from what the work has them at', () => {
    expect(groups(TWO_SHAPES)).toEqual([
      { name: 'worker', workers: 2, bounds: null },
      { name: 'gpu', workers: 3, bounds: null },
      { name: 'spare', workers: 1, bounds: { minimum: 0, maximum: 4 } }
    ]);
    expect(groups(cluster({ spec: { options: { workers: 'many', groups: [1] } } }))).toEqual([{ name: 'worker', workers: 2, bounds: null }]);
  });

  it('have a control each', async () => {
    const change = vi.fn(() => Promise.resolve());
    const { container } = render(<ClusterCard cluster={TWO_SHAPES} kind={DASK} actions={{ change, stop: vi.fn() }} trans={english} />);
    expect(await barriers(container)).toEqual([]);
    const gpu = within(screen.getByRole('group', { name: 'Size of higgs, gpu' }));
    fireEvent.change(gpu.getByRole('slider', { name: 'Workers of gpu' }), { target: { value: '5' } });
    fireEvent.blur(gpu.getByRole('slider'));
    expect(change).toHaveBeenLastCalledWith(TWO_SHAPES, { groups: { gpu: { workers: 5 } } });
    const spare = screen.getByRole('spinbutton', { name: 'Most workers of spare' });
    fireEvent.change(spare, { target: { value: '6' } });
    fireEvent.blur(spare);
    expect(change).toHaveBeenLastCalledWith(TWO_SHAPES, { groups: { spare: { adapt: { minimum: 0, maximum: 6 } } } });
    const own = screen.getByRole('spinbutton', { name: 'Number of workers' });
    fireEvent.change(own, { target: { value: '1' } });
    fireEvent.blur(own);
    expect(change).toHaveBeenLastCalledWith(TWO_SHAPES, { workers: 1 });
  });
});

describe('the form', () => {
  it.each([
    [6.2, 'Usually ready in 6.2 s.'],
    [null, null]
  ])('says what a launch usually takes: %s', (usually, words) => {
    const rest = { kind: 'dask', quota: QUOTA, remembered: () => undefined, trans: english, onCopy: vi.fn(), onLaunch: vi.fn() };
    render(<LaunchForm kinds={[{ ...DASK, usually }]} {...rest} />);
    expect(screen.queryByText(/Usually ready/)?.textContent ?? null).toBe(words);
  });
});

describe('news', () => {
  const problem = (code: string): Problem => ({ code, message: '', cause: '', remedy: '' });
  const queued = cluster({ phase: 'pending', status: { problem: problem('queued') } });
  const limited = cluster({ status: { problem: problem('limited') } });
  const adapts = { options: { adapt: { minimum: 0, maximum: 4 } } };

  it.each([
    ['a request comes to wait', [cluster({ phase: 'pending' })], queued, ['waits']],
    ['it waits on', [{ ...queued }], queued, []],
    ['it waits from the beginning', [], queued, ['waits']],
    ['it waited before anybody looked', null, queued, []],
    ['more workers wait', [cluster()], limited, ['waits']],
    ['what follows the work has come to its limits', [cluster({ spec: adapts })], cluster({ spec: adapts, status: limited.status }), []],
    ['a launch has failed at once', [], cluster({ phase: 'failed' }), ['failed']],
    ['more wait from the beginning', [cluster({ phase: 'starting' })], limited, ['waits', 'ready']]
  ] as const)('%s', (_, before, after, told) => expect(news(before, [after]).map(({ what }) => what)).toEqual(told));

  it('is over once it is not so any more, or the cluster is gone', () => {
    expect(holds({ what: 'waits', cluster: queued }, [queued])).toBe(true);
    expect(holds({ what: 'waits', cluster: queued }, [cluster()])).toBe(false);
    expect(holds({ what: 'waits', cluster: queued }, [])).toBe(false);
    expect(holds({ what: 'idle', cluster: cluster() }, [cluster({ status: { stops_at: 1 } })])).toBe(true);
    expect(holds({ what: 'idle', cluster: cluster() }, [cluster()])).toBe(false);
    expect(holds({ what: 'failed', cluster: cluster() }, [cluster({ phase: 'failed' })])).toBe(true);
    expect(holds({ what: 'failed', cluster: cluster() }, [])).toBe(false);
    expect(holds({ what: 'ready', cluster: cluster() }, [])).toBe(false);
  });
});
