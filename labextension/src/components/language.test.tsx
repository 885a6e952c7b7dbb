/** Every word of the screens goes through Lab's translator: all but names, amounts, and what the server says. */

import { cleanup, render, screen } from '@testing-library/react';
import * as React from 'react';
import { afterEach, expect, it, vi } from 'vitest';

import type { Cluster } from '../model/records';
import { english, type Translator } from '../model/words';
import { ClusterList } from './ClusterList';
import { LogView } from './LogView';
import { cluster, DASK, QUOTA } from './testing';

afterEach(cleanup);

/** A language in which every word is in brackets. */
const other: Translator = {
  __: (message, ...args) => `⟦${english.__(message, ...args)}⟧`,
  _n: (one, many, n, ...args) => `⟦${english._n(one, many, n, ...args)}⟧`
};

/** The words that were not translated: in text, and in what is read to those who do not see it. */
function untranslated(container: HTMLElement): readonly string[] {
  const said = [...container.querySelectorAll('*')].flatMap(element => [
    ...[...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE).map(node => node.textContent ?? ''),
    ...['aria-label', 'title', 'placeholder'].map(name => element.getAttribute(name) ?? '')
  ]);
  return said.map(text => text.replace(/⟦.*⟧/gs, '')).filter(text => /\p{L}/u.test(text));
}

const DONE = (): Promise<void> => Promise.resolve();

const CLUSTERS: readonly Cluster[] = [
  cluster({ status: { stops_at: Date.now() / 1000 + 600, idle_since: 1 } }),
  cluster({ name: 'skim', phase: 'starting', status: { steps: [{ name: 'Scheduler answers', started: 0, ended: null, usually: 6 }] } }),
  cluster({ name: 'fit', phase: 'failed', spec: { options: { workers: 2, adapt: { minimum: 0, maximum: 4 } } } })
];

it.each(['live', 'loading', 'offline'] as const)('a list that is %s has no word of its own', state => {
  const { container } = render(
    <ClusterList
      snapshot={{ state, clusters: state === 'loading' ? [] : CLUSTERS, kinds: [DASK], quota: QUOTA, problem: null }}
      actions={{ change: DONE, stop: DONE, code: () => 'code', insert: DONE, example: DONE, dashboard: vi.fn(), logs: vi.fn(), copyReport: DONE }}
      trans={other}
      onNew={vi.fn()}
      onRetry={vi.fn()}
      onStopAll={DONE}
    />
  );
  expect(container.textContent).toContain('⟦Clusters⟧');
  // Names, the unit of an amount, and the steps of a launch as the server names them.
  const names = /^(higgs|skim|fit|Dask|Dashboard|Scheduler answers|cms-italy|(scheduler|worker-\d): ready|[\d.]+ GiB)$/;
  expect(untranslated(container).filter(text => !names.test(text.trim()))).toEqual([]);
});

it('logs have no word of their own', async () => {
  async function* lines(): AsyncGenerator<readonly { instance: string; line: string }[]> {
    yield [{ instance: 'worker-1', line: 'Registered' }];
  }
  const { container } = render(<LogView cluster={cluster()} open={lines} trans={other} />);
  await screen.findByText('Registered');
  expect(untranslated(container).filter(text => !/^(scheduler|worker(-\d)?|Registered)$/.test(text.trim()))).toEqual([]);
});
