/** Cards in cells: what is said to the kernel, what is drawn of what it says, and of what a notebook keeps. */

import { act, cleanup, render, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import * as React from 'react';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { ClusterPicture } from '../components/ClusterPicture';
import { barriers, cluster, DASK, LONG, NASTY, QUOTA } from '../components/testing';
import { Refused, Unreachable } from '../model/api';
import { pictureOf } from '../model/picture';
import { english } from '../model/words';
import { Kernel, type Model } from './host';
import { Launcher } from './form';
import { LiveCard } from './live';

type Message = { id: string; do: string; given: unknown };

/** A widget in a kernel that says what a test has it say. */
class Fake implements Model {
  readonly sent: Message[] = [];
  private readonly callbacks = new Map<string, Set<(...args: unknown[]) => void>>();

  constructor(private readonly traits: { [name: string]: unknown }) {}

  get(trait: string): unknown {
    return this.traits[trait];
  }

  set(trait: string, value: unknown): void {
    this.traits[trait] = value;
    this.emit(`change:${trait}`);
  }

  on(event: string, callback: (...args: unknown[]) => void): void {
    this.callbacks.set(event, (this.callbacks.get(event) ?? new Set()).add(callback));
  }

  off(event: string, callback: (...args: unknown[]) => void): void {
    this.callbacks.get(event)?.delete(callback);
  }

  send(content: unknown): void {
    this.sent.push(content as Message);
  }

  emit(event: string, ...args: unknown[]): void {
    this.callbacks.get(event)?.forEach(callback => callback(...args));
  }

  reply(content: object, to = this.sent.at(-1)): void {
    this.emit('msg:custom', { id: to?.id, ...content });
  }
}

const REFUSAL = { code: 'quota-exceeded', message: 'Too many', cause: 'Others run', remedy: 'Stop one' };

afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

describe('what is asked of a kernel', () => {
  it('is done, refused, or ends with the kernel', async () => {
    const model = new Fake({});
    const kernel = new Kernel(model);
    const done = kernel.ask('stop');
    expect(model.sent[0]).toMatchObject({ do: 'stop', given: null });
    model.reply({ heard: true });
    model.reply({ ok: true });
    await expect(done).resolves.toBeUndefined();

    const refused = kernel.ask('change', { workers: 3 });
    model.reply({ problem: REFUSAL });
    await expect(refused).rejects.toEqual(new Refused(REFUSAL, 0));

    const lost = kernel.ask('stop');
    model.emit('comm_live_update');
    await expect(lost).rejects.toBeInstanceOf(Unreachable);
  });

  it('goes on until it is given up', async () => {
    const model = new Fake({});
    const kernel = new Kernel(model);
    const control = new AbortController();
    const said: unknown[] = [];
    const done = kernel.ask('logs', null, more => said.push(more), control.signal);
    const asked = model.sent[0];
    model.reply({ more: [1] });
    control.abort();
    await expect(done).resolves.toBeUndefined();
    expect(said).toEqual([[1]]);
    expect(model.sent[1]).toMatchObject({ do: 'cancel', given: asked?.id });
    model.reply({ more: [2] }, asked);
    expect(said).toEqual([[1]]);
  });

  it('waits for a busy kernel, and says so', () => {
    vi.useFakeTimers();
    const model = new Fake({});
    const kernel = new Kernel(model);
    const heard = vi.fn();
    kernel.subscribe(heard);
    void kernel.ask('stop');
    vi.advanceTimersByTime(1000);
    expect(kernel.busy()).toBe(false);
    vi.advanceTimersByTime(1000);
    expect(kernel.busy()).toBe(true);
    model.reply({ heard: true });
    expect(kernel.busy()).toBe(false);
    expect(heard).toHaveBeenCalledTimes(2);
  });

  it('is not what others asked', () => {
    const model = new Fake({});
    const kernel = new Kernel(model);
    const done = vi.fn();
    void kernel.ask('stop').then(done);
    model.emit('msg:custom', { id: 'of-another', ok: true });
    model.emit('msg:custom', { id: 'toString', ok: true });
    expect(done).not.toHaveBeenCalled();
  });
});

describe('the card of a widget', () => {
  const shown = (): Fake => {
    const model = new Fake({ record: cluster(), title: 'Dask', snippet: 'client = cluster.client()' });
    render(<LiveCard model={model} kernel={new Kernel(model)} trans={english} />);
    return model;
  };

  it('follows the traits and asks the kernel', async () => {
    const user = userEvent.setup();
    const model = shown();
    const card = within(screen.getByRole('article', { name: 'higgs' }));
    expect(card.getByText('2 workers')).toBeTruthy();
    act(() => model.set('record', cluster({ workers: 5 })));
    expect(card.getByText('5 workers')).toBeTruthy();

    await user.click(card.getByRole('button', { name: 'Stop' }));
    await user.click(within(card.getByRole('group', { name: /Stop/ })).getByRole('button', { name: 'Stop' }));
    expect(model.sent.at(-1)).toMatchObject({ do: 'stop' });
    await act(async () => model.reply({ problem: REFUSAL }));
    expect(card.getByRole('alert').textContent).toContain('Too many');
    expect(await barriers(document.body)).toEqual([]);
  });

  it('shows what its instances write', async () => {
    const user = userEvent.setup();
    const model = shown();
    await user.click(screen.getByRole('button', { name: 'Logs' }));
    await act(async () => model.reply({ more: [{ instance: 'worker-1', line: NASTY }] }));
    expect((await screen.findByRole('log')).textContent).toContain(NASTY);
    await user.click(screen.getByRole('button', { name: 'Logs' }));
    expect(model.sent.at(-1)).toMatchObject({ do: 'cancel' });
  });
});

describe('the form in a cell', () => {
  it('launches through the kernel, and becomes the card', async () => {
    const user = userEvent.setup();
    const model = new Fake({ record: {}, kinds: [DASK], kind: 'dask', quota: QUOTA, title: '', snippet: '' });
    render(<Launcher model={model} kernel={new Kernel(model)} />);
    await user.type(screen.getByRole('textbox', { name: 'Name' }), 'tagger');
    await user.click(await screen.findByRole('button', { name: 'Launch' }));
    expect(model.sent.at(-1)).toMatchObject({ do: 'launch', given: { kind: 'dask', name: 'tagger', options: {} } });
    act(() => model.set('record', cluster({ name: 'tagger' })));
    expect(screen.getByRole('article', { name: 'tagger' })).toBeTruthy();
  });
});

describe('what a notebook keeps', () => {
  const kept = (made: object): unknown => JSON.parse(JSON.stringify({ version: 1, at: 1_700_000_000, title: 'Dask', cluster: made }));

  it('is a picture: nothing can be done with it', async () => {
    render(<ClusterPicture picture={pictureOf(kept(cluster({ status: { stops_at: 1_700_000_100 } })))} trans={english} />);
    expect(screen.getByText(/^As of /)).toBeTruthy();
    expect(screen.getByText('2 workers')).toBeTruthy();
    expect(screen.queryAllByRole('button')).toEqual([]);
    expect(screen.queryByRole('slider')).toBeNull();
    expect(screen.queryByText(/It stops at/)).toBeNull();
    expect(await barriers(document.body)).toEqual([]);
  });

  it('is text, whatever it says', () => {
    const picture = pictureOf(kept(cluster({ name: NASTY, status: { problem: { ...REFUSAL, message: LONG, cause: NASTY } } })));
    render(<ClusterPicture picture={picture} trans={english} />);
    expect(document.querySelector('img')).toBeNull();
    expect(screen.getByRole('alert').textContent).toContain('<img src=x');
  });

  it.each([
    ['nothing', undefined],
    ['text', 'higgs'],
    ['another version', { version: 2, cluster: cluster() }],
    ['no name', kept({ ...cluster(), name: 7 })],
    ['an unknown phase', kept(cluster({ phase: 'exploded' as 'ready' }))]
  ])('is not drawn where it is not understood: %s', (_, data) => {
    render(<ClusterPicture picture={pictureOf(data)} trans={english} />);
    expect(screen.getByRole('note').textContent).toContain('Run the cell again');
  });

  it('is drawn without what is not understood', () => {
    const odd = { instances: { 'worker-1': null, x: { condition: 'odd', group: 'worker' } }, steps: 'many', targets: { worker: '2' }, problem: [], versions: 7 };
    render(<ClusterPicture picture={pictureOf(kept({ ...cluster(), status: { phase: 'ready', ...odd }, spec: { uid: 'u', options: [] } }))} trans={english} />);
    expect(screen.getByRole('article', { name: 'higgs' })).toBeTruthy();
  });

  it('may be of a form that has launched nothing', () => {
    render(<ClusterPicture picture={pictureOf({ version: 1, at: 0, title: '', cluster: null })} trans={english} />);
    expect(screen.getByRole('note').textContent).toContain('needs a kernel');
  });
});
