import { expect, test } from 'vitest';

import { cluster } from '../components/testing';
import type { Phase } from './records';
import { able, sizeIn, sizeOf, type Verb } from './verbs';
import { english } from './words';

test.each<[string, ReturnType<typeof sizeOf>]>([
  ['4', { workers: 4 }],
  [' 0 ', { workers: 0 }],
  ['0-10', { adapt: { minimum: 0, maximum: 10 } }],
  ['1 – 3', { adapt: { minimum: 1, maximum: 3 } }],
  ['3-1', null],
  ['0-0', null],
  ['', null],
  ['many', null],
  ['-4', null],
  ['4.5', null],
  ['9'.repeat(10_000), null]
])('a size that is written as %s', (text, size) => {
  expect(sizeOf(text)).toEqual(size);
});

test('a size that is shown can be written back', () => {
  expect(sizeOf(sizeIn(cluster({ workers: 3 })))).toEqual({ workers: 3 });
  const adapt = { minimum: 1, maximum: 8 };
  expect(sizeOf(sizeIn(cluster({ spec: { options: { adapt } } })))).toEqual({ adapt });
});

test.each<[Phase, readonly Verb[]]>([
  ['pending', ['stop', 'logs']],
  ['starting', ['stop', 'logs']],
  ['ready', ['scale', 'keep', 'restart', 'stop', 'insert', 'logs', 'dashboard']],
  ['degraded', ['scale', 'keep', 'restart', 'stop', 'insert', 'logs', 'dashboard']],
  ['stopping', ['logs']],
  ['stopped', ['logs']],
  ['failed', ['restart', 'stop', 'logs']]
])('what can be done with one that is %s', (phase, verbs) => {
  const all: readonly Verb[] = ['scale', 'keep', 'restart', 'stop', 'insert', 'logs', 'dashboard'];
  const one = cluster({ phase });
  expect(all.filter(verb => able(verb, [one], 0, english).length > 0)).toEqual(verbs);
});
