import { cleanup, render, screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import * as React from 'react';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { Refused } from '../model/api';
import { ageWords, memoryWords, poolOf, queueOf, queueWords } from '../model/jobs';
import { english, type Translator } from '../model/words';
import { useFollowed } from './hooks';
import { JobQueue, type JobQueueProps } from './JobQueue';
import { barriers, LONG, NASTY } from './testing';

afterEach(cleanup);

const NOW = 1_700_000_000;

const hold = (key: string, more: object = {}): object => ({
  key,
  words: 'Put on hold by hand.',
  remedy: 'Release when nothing speaks against it.',
  release: true,
  memory: 0,
  since: NOW - 150,
  jobs: ['7.0', '7.1'],
  count: 2,
  ...more
});

const MEMORY = { words: '2.6 GiB of memory were used, and 2 GiB asked for.', remedy: 'Release with 5.25 GiB.', release: false, memory: 5376 };

const job = (name: string, status: string): object => ({ job: name, name: 'fit', status, since: NOW - 30, cores: 1, memory: 64, worker: 'worker-1' });

/** As the pool tells it. */
const TOLD = {
  counts: { running: 6, waiting: 10_041, held: 2, suspended: 0, finished: 3 },
  slots: { workers: 2, cores: 8, cores_used: 6, gpus: 0, gpus_used: 0 },
  held: [hold('a')],
  jobs: [job('1.0', 'running'), job('1.1', 'bringing results back'), ...Array.from({ length: 48 }, (_, n) => job(`2.${n}`, 'waiting'))],
  now: NOW
};

function shown(over: Partial<JobQueueProps> = {}): { props: JobQueueProps; container: HTMLElement } {
  const done = (): Promise<void> => Promise.resolve();
  const props: JobQueueProps = {
    queue: queueOf(TOLD),
    problem: null,
    trans: english,
    onRelease: vi.fn(done),
    onRemove: vi.fn(done),
    onOpen: vi.fn(),
    ...over
  };
  return { props, container: render(<JobQueue {...props} />).container };
}

const press = (name: string): Promise<void> => userEvent.click(screen.getByRole('button', { name }));

describe('the queue of a pool', () => {
  it('is told by its true counts', () => {
    shown();
    for (const said of ['6 of 8 cores in use', '6 running', '10,041 waiting', '2 held', '3 to be fetched']) {
      expect(screen.getByText(said)).toBeTruthy();
    }
  });

  it('lists the first jobs, and counts the others', async () => {
    const { props, container } = shown();
    expect(screen.queryByRole('listitem')).toBeNull();
    await press('Jobs');
    const rows = screen.getAllByRole('listitem');
    expect(rows).toHaveLength(12);
    expect(rows.slice(0, 3).map(row => row.textContent)).toEqual(['1.0fit● runningjust now', '1.1fit◐ bringing results backjust now', '2.0fit○ waitingjust now']);
    expect(screen.getByText('and 10,035 more')).toBeTruthy();
    expect(container.querySelectorAll('*').length).toBeLessThan(200);
    await press('All jobs');
    expect(props.onOpen).toHaveBeenCalledOnce();
  });

  it('says why jobs are held, and lets them go', async () => {
    const { props } = shown();
    const note = within(screen.getByRole('article', { name: '2 jobs are held' }));
    for (const said of ['Put on hold by hand.', 'Release when nothing speaks against it.', '7.0, 7.1', '2 min']) {
      expect(note.getByText(said)).toBeTruthy();
    }
    await press('Release');
    expect(props.onRelease).toHaveBeenCalledExactlyOnceWith('a');
  });

  it('releases with more memory where that would help', async () => {
    const { props } = shown({ queue: queueOf({ ...TOLD, held: [hold('m', { ...MEMORY, jobs: ['9.3'], count: 1 })] }) });
    const note = within(screen.getByRole('article', { name: 'Job 9.3 is held' }));
    expect(note.getAllByRole('button').map(({ textContent }) => textContent)).toEqual(['Release with 5.3 GiB', 'Remove']);
    await press('Release with 5.3 GiB');
    expect(props.onRelease).toHaveBeenCalledExactlyOnceWith('m', 5376);
  });

  it('says what else to do where releasing them alone does not help', async () => {
    const { props } = shown({ queue: queueOf({ ...TOLD, held: [hold('x', { remedy: 'Remove and submit again.', release: false })] }) });
    expect(screen.getByText('Remove and submit again.')).toBeTruthy();
    await press('Release anyway');
    expect(props.onRelease).toHaveBeenCalledExactlyOnceWith('x');
  });

  it('removes jobs after a question', async () => {
    const { props } = shown();
    await press('Remove');
    expect(screen.getByRole('group', { name: 'Remove 2 jobs for good?' })).toBeTruthy();
    await press('No');
    expect(props.onRemove).not.toHaveBeenCalled();
    await press('Remove');
    await press('Remove');
    expect(props.onRemove).toHaveBeenCalledExactlyOnceWith('a');
  });

  it('tells of the most common reasons', () => {
    shown({ queue: queueOf({ ...TOLD, held: ['a', 'b', 'c', 'd', 'e'].map(key => hold(key, { count: 40, jobs: Array.from({ length: 20 }, (_, n) => `7.${n}`) })) }) });
    expect(screen.getAllByRole('article')).toHaveLength(3);
    expect(screen.getByText('and 2 more reasons for holding jobs')).toBeTruthy();
    expect(screen.getAllByText('7.0, 7.1, 7.2, 7.3, 7.4, 7.5 and 34 more')).toHaveLength(3);
  });

  it('tells what was refused', async () => {
    const problem = { code: 'bad-input', message: 'None of these jobs is there any longer', cause: '', remedy: 'Look at the queue again.' };
    shown({ onRelease: () => Promise.reject(new Refused(problem, 400)) });
    await press('Release');
    await waitFor(() => expect(screen.getByRole('alert').textContent).toContain('None of these jobs'));
    await press('Close');
    expect(screen.queryByRole('alert')).toBeNull();
  });

  it.each([
    ['still unknown', { queue: null }, 'Reading the queue…'],
    ['empty', { queue: queueOf({ slots: { workers: 1, cores: 1 } }) }, 'no jobs'],
    ['without workers', { queue: queueOf({}) }, 'no workers'],
    ['out of reach', { queue: null, problem: { code: 'x', message: 'It does not answer', cause: '', remedy: '' } }, 'It does not answer']
  ])('says so when it is %s', (_, over, said) => {
    shown(over);
    expect(screen.getByText(said)).toBeTruthy();
  });

  it('shows text as text, and keeps nobody out', async () => {
    const nasty = { ...job('0.0', NASTY), name: NASTY + LONG, worker: NASTY };
    const { container } = shown({ queue: queueOf({ ...TOLD, held: [hold('a', { words: NASTY, remedy: LONG, jobs: [NASTY], count: 1 })], jobs: [nasty, ...TOLD.jobs] }) });
    await press('Jobs');
    expect(container.querySelector('img')).toBeNull();
    expect(await barriers(container)).toEqual([]);
  });

  it('has no word of its own', async () => {
    const other: Translator = {
      __: (message, ...args) => `⟦${english.__(message, ...args)}⟧`,
      _n: (one, many, n, ...args) => `⟦${english._n(one, many, n, ...args)}⟧`
    };
    const held = ['a', 'b', 'c', 'd'].map(key => hold(key, { words: '', remedy: '', memory: 64 }));
    const { container } = shown({ queue: queueOf({ ...TOLD, held }), trans: other });
    await userEvent.click(screen.getByRole('button', { name: '⟦Jobs⟧' }));
    const words = (container.textContent ?? '').replace(/⟦[^⟧]*⟧/g, '').replace(/\d+\.\d+|fit|[●○◐]| min/g, '');
    expect(words).not.toMatch(/[a-z]{2}/i);
  });
});

describe('a pool that tells something else', () => {
  it.each([null, 7, [], { held: 7, jobs: [{ job: 1 }, null], counts: 'many', slots: [], now: 'today' }])('is read as far as it can be: %j', told => {
    const queue = queueOf(told);
    expect([queue.holds, queue.jobs, queue.now]).toEqual([[], [], 0]);
    expect(queueWords(queue, english)).toEqual(['no workers', 'no jobs']);
  });

  it('is asked in its own language', async () => {
    const ask = vi.fn(() => Promise.resolve(TOLD));
    const pool = poolOf(ask);
    expect((await pool.look()).holds[0]?.key).toBe('a');
    await pool.release('a');
    await pool.release('a', 4096);
    await pool.remove('a');
    expect(ask.mock.calls.map((call: readonly unknown[]) => [call[0], (call[1] as RequestInit | undefined)?.body])).toEqual([
      ['queue.json', undefined],
      ['release', '{"held":"a"}'],
      ['release', '{"held":"a","memory":4096}'],
      ['remove', '{"held":"a"}']
    ]);
  });

  it('has words for amounts', () => {
    expect(memoryWords(512)).toBe('512 MiB');
    expect([0, 59, 61, 7200].map(age => ageWords(NOW - age, NOW, english))).toEqual(['just now', 'just now', '1 min', '2 h']);
  });
});

describe('what is followed', () => {
  it('is looked at again and again while it is seen, until it is gone', async () => {
    vi.useFakeTimers();
    const look = vi.fn(() => Promise.resolve());
    function Follower(): JSX.Element {
      const place = React.useRef<HTMLDivElement>(null);
      useFollowed(place, look, 3);
      return <div ref={place} />;
    }
    const { unmount } = render(<Follower />);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(look).toHaveBeenCalledTimes(4);
    const hidden = vi.spyOn(document, 'hidden', 'get').mockReturnValue(true);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(look).toHaveBeenCalledTimes(4);
    hidden.mockRestore();
    await vi.advanceTimersByTimeAsync(3000);
    expect(look).toHaveBeenCalledTimes(5);
    unmount();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(look).toHaveBeenCalledTimes(5);
    vi.useRealTimers();
  });
});
