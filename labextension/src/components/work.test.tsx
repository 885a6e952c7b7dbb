import { cleanup, render, screen, within } from '@testing-library/react';
import * as React from 'react';
import { afterEach, describe, expect, it } from 'vitest';

import { counted, ending, read, type WorkReport } from '../model/work';
import { english } from '../model/words';
import { barriers, LONG, NASTY } from './testing';
import { WorkProgress } from './WorkProgress';

afterEach(cleanup);

function report(over: Partial<WorkReport> = {}): WorkReport {
  return {
    version: 1,
    state: 'running',
    title: 'Spark',
    cluster: 'skim',
    row: 'stage',
    item: 'task',
    seconds: 4.2,
    works: [
      { name: 'Stage 2: map at line 1', total: 32, done: 32, running: 0, failed: 0 },
      { name: 'Stage 3: sum at line 2', total: 128, done: 64, running: 32, failed: 1 }
    ],
    sum: { rows: 2, total: 160, done: 96, running: 32, failed: 1 },
    ...over
  };
}

describe('what an output holds', () => {
  it('is read', () => {
    expect(read(JSON.parse(JSON.stringify(report())))).toEqual(report());
  });

  it.each([
    ['nothing', undefined],
    ['text', 'running'],
    ['a later version', { ...report(), version: 2 }],
    ['another state', { ...report(), state: 'resting' }],
    ['no rows', { ...report(), works: null }],
    ['a row without numbers', { ...report(), works: [{ name: 'x' }] }],
    ['no sum', { ...report(), sum: undefined }]
  ])('is not read from %s', (_, value) => {
    expect(read(value)).toBeNull();
  });
});

describe('work in words', () => {
  it('says the numbers that there are', () => {
    expect(counted({ total: 1, done: 0, running: 0, failed: 0 }, english, 'task')).toBe('0 of 1 task');
    expect(counted(report().sum, english, 'task')).toBe('96 of 160 tasks, 32 running, 1 failed');
  });

  it.each([
    [{ rows: 3, total: 128, done: 128, running: 0, failed: 0 }, 'stage', '✓', 'Spark: 3 stages, 128 tasks in 4.2 s'],
    [{ rows: 1, total: 128, done: 128, running: 0, failed: 2 }, 'stage', '▲', 'Spark: 1 stage, 128 tasks in 4.2 s, 2 failed'],
    [{ rows: 1, total: 1, done: 0, running: 0, failed: 1 }, '', '✕', 'Spark: 0 of 1 task in 4.2 s, 1 failed'],
    [{ rows: 1, total: 9, done: 5, running: 2, failed: 0 }, '', '□', 'Spark: 5 of 9 tasks in 4.2 s']
  ])('ends as one line', (sum, row, shape, sentence) => {
    expect(ending(report({ state: 'ended', row, sum }), english)).toMatchObject({ mark: { shape }, sentence });
  });
});

describe('work below a cell', () => {
  it('has a bar for each stage, which says in words what it shows', async () => {
    const { container } = render(<WorkProgress report={report()} trans={english} />);
    const shown = within(screen.getByRole('region', { name: 'Work of skim' }));
    const bar = shown.getByRole('progressbar', { name: 'Stage 3: sum at line 2' });
    expect(bar.getAttribute('aria-valuetext')).toBe('64 of 128, 32 running, 1 failed');
    expect([...bar.children].map(part => (part as HTMLElement).style.width)).toEqual(['50%', '0.78125%', '25%']);
    expect(shown.getByText('96 of 160 tasks, 32 running, 1 failed')).toBeTruthy();
    expect(await barriers(container)).toEqual([]);
  });

  it('tells listeners no more than they want to hear', () => {
    const { rerender } = render(<WorkProgress report={report({ sum: { ...report().sum, failed: 0 } })} trans={english} />);
    expect(screen.getByRole('status').textContent).toBe('Spark works');
    rerender(<WorkProgress report={report({ sum: { ...report().sum, done: 97, failed: 0 } })} trans={english} />);
    expect(screen.getByRole('status').textContent).toBe('Spark works');
    rerender(<WorkProgress report={report()} trans={english} />);
    expect(screen.getByRole('status').textContent).toBe('Spark works: 1 failed');
  });

  it('counts what it does not show', () => {
    render(<WorkProgress report={report({ sum: { ...report().sum, rows: 96 } })} trans={english} />);
    expect(screen.getByText('and 94 more')).toBeTruthy();
  });

  it('becomes one line', async () => {
    const sum = { rows: 2, total: 160, done: 160, running: 0, failed: 0 };
    const { container } = render(<WorkProgress report={report({ state: 'ended', works: [], sum })} trans={english} />);
    expect(screen.getByRole('status').textContent).toBe('✓ Spark: 2 stages, 160 tasks in 4.2 s');
    expect(screen.queryByRole('progressbar')).toBeNull();
    expect(await barriers(container)).toEqual([]);
  });

  it('shows hostile names as text, and impossible numbers within the bar', () => {
    const work = { name: NASTY + LONG, total: 0, done: -3, running: 7, failed: 1e9 };
    const { container } = render(<WorkProgress report={report({ title: NASTY, cluster: NASTY, works: [work] })} trans={english} />);
    expect(container.querySelector('img')).toBeNull();
    expect([...screen.getByRole('progressbar').children].map(part => (part as HTMLElement).style.width)).toEqual(['0%', '0%', '0%']);
  });
});
