import { cleanup, render, screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import * as React from 'react';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { Refused } from '../model/api';
import { endpoint } from '../model/endpoint';
import { madeWords, modelsOf, short } from '../model/models';
import { english, type Translator } from '../model/words';
import { ModelList, type ModelListProps } from './ModelList';
import { barriers, LONG, NASTY } from './testing';

afterEach(cleanup);

const NOW = 1_700_000_000;

const version = (name: string, state: string, more: object = {}): object => ({
  version: name,
  state,
  engine: 'litert',
  lineage: { owner: 'owner', created: NOW, metrics: { auc: 0.9234 }, note: 'nine inputs' },
  benchmark: null,
  ...more
});

const MEASURED = [
  { batch: 1, clients: 1, p50_ms: 0.25, p99_ms: 0.5, rows_per_second: 4000 },
  { batch: 256, clients: 1, p50_ms: 0.6, p99_ms: 1, rows_per_second: 400_000 },
  { batch: 1, clients: 16, p50_ms: 1.5, p99_ms: 3, rows_per_second: 11_000 },
  { batch: 256, clients: 16, p50_ms: 6, p99_ms: 9, rows_per_second: 700_000 }
];

/** As the server tells it. */
const TOLD = {
  models: [
    {
      model: 'k0s',
      published: 'aaaaaaaaaaaa',
      traffic: { requests: 1204, failures: 2, per_second: 3.456, p50_ms: 0.3123, p99_ms: 1.2, in_flight: 0, queued: 0 },
      versions: [version('bbbbbbbbbbbb', 'staged'), version('aaaaaaaaaaaa', 'published', { benchmark: MEASURED }), version('cccccccccccc', 'earlier')]
    }
  ]
};

function shown(over: Partial<ModelListProps> = {}): { props: ModelListProps; container: HTMLElement } {
  const done = (): Promise<void> => Promise.resolve();
  const props: ModelListProps = {
    models: modelsOf(TOLD),
    address: 'http://127.0.0.1:8080',
    problem: null,
    trans: english,
    onRefresh: vi.fn(done),
    onTry: vi.fn(),
    onPublish: vi.fn(done),
    onRollback: vi.fn(done),
    ...over
  };
  return { props, container: render(<ModelList {...props} />).container };
}

const press = (name: string): Promise<void> => userEvent.click(screen.getByRole('button', { name }));

describe('the models of an endpoint', () => {
  it('are told with their versions and what is asked of them', () => {
    shown();
    const model = within(screen.getByRole('article', { name: 'k0s' }));
    expect(model.getAllByRole('listitem').map(item => item.querySelector('.dodas-Row > span')?.textContent)).toEqual(['◐ staged', '● published', '○ earlier']);
    for (const said of ['1204 requests', '2 failed', '3.5 a second', 'half within 0.31 ms']) {
      expect(model.getByText(said)).toBeTruthy();
    }
    expect(screen.getByText('http://127.0.0.1:8080')).toBeTruthy();
  });

  it('are published after a question', async () => {
    const { props } = shown();
    await press('Publish');
    expect(props.onPublish).not.toHaveBeenCalled();
    await press('No');
    await press('Publish');
    await press('Publish');
    expect(props.onPublish).toHaveBeenCalledExactlyOnceWith('k0s', 'bbbbbbbbbbbb');
  });

  it('go back after a question, where there is something to go back to', async () => {
    const { props } = shown();
    await press('Roll back');
    expect(props.onRollback).not.toHaveBeenCalled();
    await press('Roll back');
    expect(props.onRollback).toHaveBeenCalledExactlyOnceWith('k0s');
    cleanup();
    shown({ models: modelsOf({ models: [{ model: 'new', published: 'a', versions: [version('a', 'published')] }] }) });
    expect(screen.queryByRole('button', { name: 'Roll back' })).toBeNull();
  });

  it('tell what was refused', async () => {
    const problem = { code: 'not-allowed', message: 'ada may not publish', cause: 'She is in no group.', remedy: 'Ask.' };
    shown({ onPublish: () => Promise.reject(new Refused(problem, 403)) });
    await press('Publish');
    await press('Publish');
    await waitFor(() => expect(screen.getByRole('alert').textContent).toContain('ada may not publish'));
    await press('Close');
    expect(screen.queryByRole('alert')).toBeNull();
  });

  it('have a picture of the benchmark, with words that say the same', () => {
    shown();
    const name = 'Half of the answers came within 0.25 to 6 ms; at most 700,000 rows a second';
    const picture = screen.getByRole('img', { name });
    expect(picture.querySelectorAll('polyline')).toHaveLength(2);
    expect(picture.outerHTML).not.toContain('NaN');
  });

  it('are tried on their page, and looked at again', async () => {
    const { props } = shown();
    await press('Try it');
    await press('Look again');
    expect(props.onTry).toHaveBeenCalledOnce();
    expect(props.onRefresh).toHaveBeenCalledOnce();
  });

  it.each([
    ['still unknown', { models: null }, 'Reading the models…'],
    ['none', { models: [] }, 'No models yet: deploy one from a notebook.'],
    ['out of reach', { models: null, problem: { code: 'x', message: 'It does not answer', cause: '', remedy: '' } }, 'It does not answer']
  ])('say so when they are %s', (_, over, said) => {
    shown(over);
    expect(screen.getByText(said)).toBeTruthy();
  });

  it('show text as text, and keep nobody out', async () => {
    const nasty = { model: NASTY, published: null, versions: [version(NASTY, 'staged', { lineage: { note: NASTY + LONG, created: NOW } })] };
    const { container } = shown({ models: modelsOf({ models: [nasty, ...TOLD.models] }), address: NASTY });
    expect(container.querySelector('img')).toBeNull();
    expect(await barriers(container)).toEqual([]);
  });

  it('have no word of their own', () => {
    const other: Translator = {
      __: (message, ...args) => `⟦${english.__(message, ...args)}⟧`,
      _n: (one, many, n, ...args) => `⟦${english._n(one, many, n, ...args)}⟧`
    };
    const { container } = shown({ trans: other, models: modelsOf({ models: [{ model: '1', published: '2', versions: [{ version: '2', state: 'published', benchmark: MEASURED }, { version: '3', state: 'staged' }, { version: '4' }] }] }) });
    const said = [...container.querySelectorAll('*')].flatMap(element => [
      ...[...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE).map(node => node.textContent ?? ''),
      element.getAttribute('aria-label') ?? ''
    ]);
    expect(said.map(text => text.replace(/⟦.*⟧|http\S+/gs, '')).filter(text => /\p{L}/u.test(text))).toEqual([]);
  });
});

describe('what an endpoint tells', () => {
  it.each([null, 3, 'x', [], {}, { models: 3 }, { models: [null, 3, {}, { model: 3 }] }])('is no list of models: %j', told => {
    expect(modelsOf(told)).toEqual([]);
  });

  it('may leave out all but names', () => {
    const [model] = modelsOf({ models: [{ model: 'k0s', versions: [null, {}, { version: 'a', benchmark: [{}], lineage: { metrics: { auc: 'x' } } }] }] });
    expect(model?.published).toBeNull();
    expect(model?.versions).toHaveLength(1);
    expect(model?.versions[0]?.metrics).toEqual({});
    shown({ models: model ? [model] : [] });
    expect(screen.getByText('No requests yet')).toBeTruthy();
  });

  it('is asked for by name', async () => {
    const ask = vi.fn((_path: string, _init?: RequestInit) => Promise.resolve(TOLD as unknown));
    const asked = endpoint(ask);
    expect((await asked.models())[0]?.name).toBe('k0s');
    await asked.publish('a b', 'v');
    await asked.rollback('k0s');
    expect(ask.mock.calls.map(([path, init]) => [path, init?.method, init?.body])).toEqual([
      ['dodas/v1/models', undefined, undefined],
      ['dodas/v1/models/a%20b/publish', 'POST', '{"version":"v"}'],
      ['dodas/v1/models/k0s/rollback', 'POST', '{}']
    ]);
  });

  it('becomes words', () => {
    const [model] = modelsOf(TOLD);
    expect(model && madeWords(model.versions[0]!, NOW)).toMatch(/ · auc 0\.92 · nine inputs$/);
    expect([0.3123, 3.456, 12.34, 3400.4].map(short)).toEqual(['0.31', '3.5', '12.3', '3,400']);
  });
});
