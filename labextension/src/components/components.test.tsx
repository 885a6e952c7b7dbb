import { cleanup, fireEvent, render, screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import * as React from 'react';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { Refused } from '../model/api';
import type { Snapshot } from '../model/clusters';
import type { Cluster, LogLine, Options, Problem } from '../model/records';
import { english } from '../model/words';
import { type ClusterActions, ClusterCard } from './ClusterCard';
import { ClusterList } from './ClusterList';
import { LaunchForm, type LaunchFormProps } from './LaunchForm';
import { LogView } from './LogView';
import { QuotaBar } from './QuotaBar';
import { Sparkline } from './Sparkline';
import { barriers, cluster, DASK, LONG, NASTY, QUOTA } from './testing';

afterEach(cleanup);

const SOON = { timeout: 20_000 };
const PROBLEM: Problem = { code: 'quota-exceeded', message: '20 cores asked for, 18 free', cause: 'Others run.', remedy: 'Ask for `18`.' };

const refusing = (problem: Problem) => (): Promise<never> => Promise.reject(new Refused(problem, 422));

function actions(over: Partial<ClusterActions> = {}): ClusterActions {
  const done = (): Promise<void> => Promise.resolve();
  return {
    change: vi.fn(done),
    stop: vi.fn(done),
    code: ({ name }) => `dodas.connect("${name}")`,
    insert: vi.fn(done),
    dashboard: vi.fn(),
    logs: vi.fn(),
    copyReport: vi.fn(done),
    ...over
  };
}

function card(one: Cluster, over: Partial<ClusterActions> = {}): { does: ClusterActions; container: HTMLElement } {
  const does = actions(over);
  const { container } = render(<ClusterCard cluster={one} kind={DASK} actions={does} trans={english} />);
  return { does, container };
}

const press = (name: string): Promise<void> => userEvent.click(screen.getByRole('button', { name }));

describe('a card', () => {
  it('says with words and shapes what colours say', () => {
    card(cluster());
    const shown = screen.getByRole('article', { name: 'higgs' });
    expect(within(shown).getByRole('status').textContent).toBe('● Ready');
    expect(within(shown).getByText('2 workers')).toBeTruthy();
    expect(within(shown).getByRole('img', { name: '2 of 2 workers are ready' })).toBeTruthy();
  });

  it('names the step that is under way', () => {
    const steps = [
      { name: 'Scheduler answers', started: 0, ended: 2, usually: 1 },
      { name: 'Workers register', started: 2, ended: null, usually: 6 }
    ];
    const { does } = card(cluster({ phase: 'starting', status: { steps } }));
    const now = screen.getAllByRole('listitem').find(item => item.getAttribute('aria-current') === 'step');
    expect(now?.textContent).toBe('◐Workers registerusually 6.0 s');
    fireEvent.click(screen.getByRole('button', { name: 'Cancel' }));
    expect(does.stop).toHaveBeenCalledOnce();
  });

  it('asks before it stops', async () => {
    const { does } = card(cluster());
    await press('Stop');
    expect(does.stop).not.toHaveBeenCalled();
    expect(document.activeElement?.textContent).toBe('Stop');
    await userEvent.keyboard('{Escape}');
    expect(screen.queryByText('Stop? What it holds is lost.')).toBeNull();
    await press('Stop');
    await userEvent.keyboard('{Enter}');
    await waitFor(() => expect(does.stop).toHaveBeenCalledOnce(), SOON);
  });

  it('has the remedy as a button, and a report', async () => {
    const { does } = card(cluster({ phase: 'failed', workers: 0, status: { problem: PROBLEM, ready_at: null } }));
    expect(screen.getByRole('alert').textContent).toContain('20 cores asked for, 18 free');
    await press('Start again');
    await press('Copy report');
    await press('Dismiss');
    expect(does.change).toHaveBeenCalledWith(expect.anything(), { restart: true });
    expect(does.copyReport).toHaveBeenCalledOnce();
    expect(does.stop).toHaveBeenCalledOnce();
  });

  it('keeps what is about to be stopped', async () => {
    const at = Date.now() / 1000;
    const { does } = card(cluster({ status: { stops_at: at + 600 } }));
    await press('Keep 1 h');
    const [, change] = vi.mocked(does.change).mock.calls[0] ?? [];
    expect((change as { keep_until: number }).keep_until).toBeGreaterThan(at + 3500);
  });

  it('scales with the slider once it rests', async () => {
    const { does } = card(cluster());
    const slider = screen.getByRole('slider', { name: 'Workers' });
    fireEvent.change(slider, { target: { value: '3' } });
    fireEvent.change(slider, { target: { value: '7' } });
    expect(does.change).not.toHaveBeenCalled();
    await waitFor(() => expect(does.change).toHaveBeenCalledExactlyOnceWith(expect.anything(), { workers: 7 }), SOON);
  });

  it('scales as soon as the keyboard leaves', async () => {
    const { does } = card(cluster());
    await userEvent.clear(screen.getByRole('spinbutton', { name: 'Number of workers' }));
    await userEvent.type(screen.getByRole('spinbutton', { name: 'Number of workers' }), '250');
    await userEvent.tab();
    expect(does.change).toHaveBeenLastCalledWith(expect.anything(), { workers: 250 });
  });

  it('lets workers follow the work, between two bounds', async () => {
    const { does } = card(cluster());
    await userEvent.click(screen.getByRole('checkbox', { name: 'adapt' }));
    fireEvent.change(screen.getByRole('spinbutton', { name: 'Most workers' }), { target: { value: '20' } });
    fireEvent.blur(screen.getByRole('spinbutton', { name: 'Most workers' }));
    expect(does.change).toHaveBeenLastCalledWith(expect.anything(), { adapt: { minimum: 0, maximum: 20 } });
  });

  it('takes the slider back when that is refused, and says why', async () => {
    card(cluster(), { change: refusing(PROBLEM) });
    const slider = screen.getByRole<HTMLInputElement>('slider');
    fireEvent.change(slider, { target: { value: '9' } });
    fireEvent.blur(slider);
    await screen.findByText('20 cores asked for, 18 free', undefined, SOON);
    await waitFor(() => expect(slider.value).toBe('2'), SOON);
    await press('Close');
    expect(screen.queryByText('20 cores asked for, 18 free')).toBeNull();
  });

  it('inserts code with Enter, and carries it along when dragged', async () => {
    const { does } = card(cluster());
    const shown = screen.getByRole('article');
    shown.focus();
    await userEvent.keyboard('{Enter}');
    expect(does.insert).toHaveBeenCalledOnce();
    const setData = vi.fn();
    fireEvent.dragStart(shown, { dataTransfer: { setData } });
    expect(setData).toHaveBeenCalledWith('text/plain', 'dodas.connect("higgs")');
  });

  it('shows hostile values as text', async () => {
    const problem = { code: 'x', message: NASTY, cause: `${NASTY}\n${LONG}`, remedy: NASTY };
    const { container } = card(cluster({ name: LONG, phase: 'degraded', spec: { kind: NASTY }, status: { problem } }));
    expect(container.querySelector('img')).toBeNull();
    expect(container.textContent).toContain('<img src=x');
    expect('broken' in globalThis).toBe(false);
    expect(await barriers(container)).toEqual([]);
  });
});

const LIVE: Snapshot = { state: 'live', clusters: [], kinds: [DASK], quota: QUOTA, problem: null };

function list(snapshot: Partial<Snapshot>): { container: HTMLElement; onNew: () => void; onRetry: () => void } {
  const [onNew, onRetry] = [vi.fn(), vi.fn()];
  const { container } = render(<ClusterList snapshot={{ ...LIVE, ...snapshot }} actions={actions()} trans={english} onNew={onNew} onRetry={onRetry} />);
  return { container, onNew, onRetry };
}

describe('the list', () => {
  const three = ['a', 'b', 'c'].map(name => cluster({ name }));

  it.each<[string, Partial<Snapshot>, string]>([
    ['full', { clusters: three }, 'a'],
    ['empty', {}, 'No clusters yet.'],
    ['offline', { state: 'offline', clusters: three }, 'Jupyter Server does not answer.'],
    ['refused', { state: 'error', problem: PROBLEM }, '20 cores asked for, 18 free'],
    ['failed', { clusters: [cluster({ phase: 'failed', status: { problem: PROBLEM } })] }, 'Failed'],
    ['idle', { clusters: [cluster({ status: { stops_at: 1 } })] }, 'Keep 1 h']
  ])('keeps nobody out when it is %s', async (_, snapshot, words) => {
    const { container } = list(snapshot);
    expect(container.textContent).toContain(words);
    expect(await barriers(container)).toEqual([]);
  });

  it('says that it is reading', async () => {
    const { container } = list({ state: 'loading', kinds: [], quota: null });
    expect(screen.getByRole('status', { name: 'Reading the clusters' })).toBeTruthy();
    expect(screen.queryByText('No clusters yet.')).toBeNull();
    expect(await barriers(container)).toEqual([]);
  });

  it('is one stop of the tab key, with arrows from card to card', async () => {
    list({ clusters: three });
    const focus = (): string | null | undefined => document.activeElement?.getAttribute('aria-label');
    screen.getByRole('article', { name: 'a' }).focus();
    await userEvent.keyboard('{ArrowDown}{ArrowDown}{ArrowDown}');
    expect(focus()).toBe('c');
    await userEvent.keyboard('{Home}');
    expect(focus()).toBe('a');
    await userEvent.keyboard('{End}{ArrowUp}');
    expect(focus()).toBe('b');
    expect(screen.getAllByRole('article').map(one => one.tabIndex)).toEqual([-1, 0, -1]);
    await userEvent.tab();
    await userEvent.keyboard('{Escape}');
    expect(focus()).toBe('b');
  });

  it('stops all of them, if one is sure', async () => {
    const stopAll = vi.fn(() => Promise.resolve());
    render(<ClusterList snapshot={{ ...LIVE, clusters: three }} actions={actions()} trans={english} onNew={vi.fn()} onRetry={vi.fn()} onStopAll={stopAll} />);
    await press('Stop all');
    expect(stopAll).not.toHaveBeenCalled();
    expect(screen.getByRole('group', { name: 'Stop all 3? What they hold is lost.' })).toBeTruthy();
    await userEvent.keyboard('{Enter}');
    await waitFor(() => expect(stopAll).toHaveBeenCalledOnce(), SOON);
  });

  it('leaves the arrows to the slider within a card', async () => {
    list({ clusters: three });
    const slider = screen.getAllByRole('slider')[0] as HTMLElement;
    slider.focus();
    await userEvent.keyboard('{ArrowDown}');
    expect(document.activeElement).toBe(slider);
  });

  it('draws only the card that changes', () => {
    const drawn = vi.fn((one: Cluster) => one.name);
    const does = actions({ code: drawn });
    const { rerender } = render(<ClusterList snapshot={{ ...LIVE, clusters: three }} actions={does} trans={english} onNew={vi.fn()} onRetry={vi.fn()} />);
    drawn.mockClear();
    const next = three.map(one => (one.name === 'b' ? cluster({ name: 'b', workers: 5 }) : one));
    rerender(<ClusterList snapshot={{ ...LIVE, clusters: next }} actions={does} trans={english} onNew={vi.fn()} onRetry={vi.fn()} />);
    expect(new Set(drawn.mock.calls.map(([one]) => one.name))).toEqual(new Set(['b']));
  });
});

describe('the quota', () => {
  it('previews a request', () => {
    render(<QuotaBar quota={QUOTA} asked={{ clusters: 1, workers: 4, cores: 8, memory: 2 ** 33 }} trans={english} />);
    expect(screen.getByText(/14 \+ 8 of 32 cores, 38 GiB \+ 8 GiB of 96 GiB/)).toBeTruthy();
    expect(screen.getByRole('meter').getAttribute('aria-valuenow')).toBe('22');
  });

  it.each([
    [20, 'This does not fit beside what runs: it would wait.'],
    [40, 'This is more than you may ever hold: it would be refused.']
  ])('says what becomes of a request for %d cores', (cores, words) => {
    render(<QuotaBar quota={QUOTA} asked={{ clusters: 1, workers: 1, cores, memory: 0 }} trans={english} />);
    expect(screen.getByRole('status').textContent).toBe(words);
  });

  it('is not there where nothing is limited', () => {
    const none = { clusters: null, workers: null, cores: null, memory: null };
    const { container } = render(<QuotaBar quota={{ ...QUOTA, limits: none }} trans={english} />);
    expect(container.innerHTML).toBe('');
  });
});

describe('the form', () => {
  function form(over: Partial<LaunchFormProps> = {}): { launch: LaunchFormProps['onLaunch']; copied: string[]; container: HTMLElement } {
    const copied: string[] = [];
    const launch = over.onLaunch ?? vi.fn(() => Promise.resolve());
    const spark = { ...DASK, kind: 'spark', title: 'Spark', snippet: 'spark = cluster.session()' };
    const { container } = render(
      <LaunchForm
        kinds={[DASK, spark]}
        kind="dask"
        quota={QUOTA}
        remembered={() => undefined}
        trans={english}
        onCopy={code => void copied.push(code)}
        {...over}
        onLaunch={launch}
      />
    );
    return { launch, copied, container };
  }

  const field = (name: string): Promise<HTMLInputElement> => screen.findByLabelText<HTMLInputElement>(name, undefined, SOON);

  async function fill(name: string, text: string): Promise<void> {
    const input = await field(name);
    await userEvent.clear(input);
    if (text) {
      await userEvent.type(input, text);
    }
  }

  it('asks only for what differs from the defaults, and shows the same as Python', async () => {
    const { launch, copied } = form();
    await fill('Name', 'higgs');
    await fill('Workers', '4');
    await fill('Memory', '4 GiB');
    await press('Copy');
    expect(copied).toEqual(['import jupyter_dodas as dodas\n\ncluster = dodas.dask(name="higgs", workers=4, memory="4 GiB")\nclient = cluster.client()\n']);
    expect(screen.getByText(/14 \+ 4 of 32 cores/)).toBeTruthy();
    await press('Launch');
    expect(launch).toHaveBeenCalledExactlyOnceWith('dask', 'higgs', { workers: 4, memory: '4 GiB' });
  });

  it('asks for nothing when nothing was changed', async () => {
    const { launch } = form();
    await field('Workers');
    await press('Launch');
    expect(launch).toHaveBeenCalledExactlyOnceWith('dask', '', {});
  });

  it('lets workers follow the work', async () => {
    const { launch } = form();
    await userEvent.click(await field('Adapt'));
    await fill('Minimum', '1');
    await fill('Maximum *', '8');
    expect((await field('Workers')).disabled).toBe(true);
    await press('Launch');
    expect(launch).toHaveBeenCalledExactlyOnceWith('dask', '', { adapt: { minimum: 1, maximum: 8 } });
  });

  it('shows at its field what cannot be, and does not ask for it', async () => {
    const { launch } = form();
    await fill('Memory', 'much');
    expect(await screen.findByText('Write a number and a unit: 512 MiB, 2 GiB, 2 GB.', undefined, SOON)).toBeTruthy();
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Launch' }).disabled).toBe(true);
    await fill('Name', 'Not This');
    expect(screen.getByText(/Lower-case letters/)).toBeTruthy();
    expect(launch).not.toHaveBeenCalled();
  });

  it('shows at its field what the server refuses', async () => {
    const refused = { ...PROBLEM, code: 'invalid-option', message: 'cores=3 will not do', cause: NASTY, remedy: '', option: 'cores' };
    const { container } = form({ onLaunch: refusing(refused) });
    const cores = await field('Cores');
    await press('Launch');
    const said = await within(cores.closest<HTMLElement>('.dodas-Field') as HTMLElement).findByText(/cores=3 will not do/, undefined, SOON);
    expect(said.closest('[role=alert]')).toBeTruthy();
    expect(container.querySelector('img')).toBeNull();
  });

  it('shows what is nobody\'s fault beside the button', async () => {
    form({ onLaunch: refusing(PROBLEM) });
    await field('Workers');
    await press('Launch');
    expect(await screen.findByText('20 cores asked for, 18 free', undefined, SOON)).toBeTruthy();
  });

  it('begins with the last choice, as far as the kind still knows it', async () => {
    const last: Options = { workers: 7, gone: true, memory: 2 ** 30 };
    const { launch } = form({ remembered: () => last });
    expect((await field('Workers')).value).toBe('7');
    expect((await field('Memory')).value).toBe('1 GiB');
    await press('Launch');
    expect(launch).toHaveBeenCalledExactlyOnceWith('dask', '', { workers: 7, memory: '1 GiB' });
  });

  it('is another form for another kind', async () => {
    form();
    await userEvent.selectOptions(screen.getByRole('combobox', { name: 'Kind' }), 'Spark');
    await field('Workers');
    expect(screen.getByText(/dodas\.spark\(\)/)).toBeTruthy();
    expect(screen.getByText(/spark = cluster\.session\(\)/)).toBeTruthy();
  });

  it('keeps nobody out', async () => {
    const { container } = form();
    await fill('Workers', '4');
    await fill('Memory', '1');
    await userEvent.click(await field('Adapt'));
    expect(await barriers(container)).toEqual([]);
  });

  it('stands beside another form', async () => {
    form();
    form();
    await screen.findAllByLabelText('Workers', undefined, SOON);
    const ids = [...document.querySelectorAll('[id]')].map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('draws hostile schemas as text', async () => {
    const options = {
      type: 'object',
      properties: {
        [NASTY]: { type: 'string', title: NASTY, description: `${NASTY} [a](javascript:alert(1))`, default: LONG },
        choice: { enum: [NASTY, 'b'], title: 'Choice', default: 'b' }
      }
    };
    const { container } = form({ kinds: [{ ...DASK, title: NASTY, summary: NASTY, options }] });
    await field('Choice');
    expect(container.querySelector('img, a')).toBeNull();
    expect('broken' in globalThis).toBe(false);
  });
});

describe('logs', () => {
  const LINES: LogLine[] = [
    { instance: 'scheduler', line: 'Registered worker-1' },
    { instance: 'worker-1', line: `Started ${NASTY}` },
    { instance: 'worker-2', line: 'MemoryError' }
  ];

  async function* lines(): AsyncGenerator<readonly LogLine[]> {
    yield LINES;
  }

  it('are searched and read by role', async () => {
    const { container } = render(<LogView cluster={cluster()} open={lines} trans={english} />);
    await screen.findByText('MemoryError', undefined, SOON);
    expect(container.querySelector('img')).toBeNull();
    await userEvent.selectOptions(screen.getByRole('combobox', { name: 'Whose' }), 'worker');
    expect(screen.queryByText('Registered worker-1')).toBeNull();
    await userEvent.type(screen.getByRole('searchbox'), 'memory');
    expect(screen.getByText('1 line')).toBeTruthy();
    await userEvent.type(screen.getByRole('searchbox'), 'zzz');
    expect(screen.getByText('No line has this.')).toBeTruthy();
    expect(await barriers(container)).toEqual([]);
  });

  it('say why they cannot be read, and let go when they are closed', async () => {
    let signal: AbortSignal | undefined;
    async function* refused(_: string, given: AbortSignal): AsyncGenerator<readonly LogLine[]> {
      signal = given;
      throw new Refused(PROBLEM, 503);
    }
    const { unmount } = render(<LogView cluster={cluster()} open={refused} trans={english} />);
    await screen.findByText('20 cores asked for, 18 free', undefined, SOON);
    unmount();
    expect(signal?.aborted).toBe(true);
  });
});

it('draws a line of numbers, with words', () => {
  const { container } = render(<Sparkline values={[0, 4, 2]} label="Cores held: 4 at most" />);
  expect(screen.getByRole('img', { name: 'Cores held: 4 at most' })).toBeTruthy();
  expect(container.querySelector('polyline')?.getAttribute('points')).toBe('0.0,21.0 42.0,1.0 84.0,11.0');
});
