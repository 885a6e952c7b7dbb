import { describe, expect, it } from 'vitest';

import { DASK } from '../components/testing';
import type { Options, Problem, Schema } from './records';
import { remedied, remedyChange, remedyWords } from './remedy';
import { english } from './words';

const GROUPS: Schema = {
  ...DASK.options,
  $defs: { ...DASK.options.$defs, GroupOptions: { type: 'object', properties: { workers: { type: 'integer', title: 'Workers' } } } },
  properties: {
    ...DASK.options.properties,
    gpus: { type: 'integer', title: 'Gpus' },
    groups: { type: 'object', title: 'Groups', additionalProperties: { $ref: '#/$defs/GroupOptions' } }
  }
};

const problem = (retry: Options): Problem => ({ code: 'quota-exceeded', message: '', cause: '', remedy: '', retry });

describe('a remedy', () => {
  it.each<[Options, string]>([
    [{ workers: 18 }, '18 workers'],
    [{ workers: 1 }, '1 worker'],
    [{ 'groups.gpu.gpus': 1 }, '1 GPU of gpu'],
    [{ gpus: 2 }, '2 GPUs'],
    [{ cores: 2, memory: 2 ** 29 }, '2 cores, memory 512 MiB'],
    [{ adapt: { minimum: 2, maximum: 6 } }, 'adapt 2 to 6'],
    [{ 'groups.gpu.workers': 3 }, '3 workers of gpu'],
    [{ idle_timeout: 0 }, 'idle timeout 0'],
    [{ spill: false }, 'spill false'],
    [{ name: 'higgs-2' }, 'name higgs-2'],
    [{ 'environment.folder': '/tmp' }, 'folder /tmp'],
    [{ no_such_thing: 7, constructor: 1 }, 'no such thing 7, constructor 1'],
    [{}, '']
  ])('%j is said as %s', (retry, words) => expect(remedyWords(problem(retry), GROUPS, english)).toBe(words));

  it('fills in a form', () => {
    const before = { workers: 9, groups: { gpu: { workers: 4, cores: 2 }, spare: { workers: 1 } } };
    expect(remedied(before, { 'groups.gpu.workers': 2, cores: 1 })).toEqual({
      workers: 9,
      cores: 1,
      groups: { gpu: { workers: 2, cores: 2 }, spare: { workers: 1 } }
    });
    expect(remedied({}, { '__proto__.polluted': 1 })).not.toHaveProperty('constructor.prototype.polluted');
    expect(({} as Options)['polluted']).toBeUndefined();
  });

  it.each<[Options, object | null]>([
    [{ workers: 3 }, { workers: 3 }],
    [{ 'groups.gpu.adapt': { minimum: 0, maximum: 2 } }, { groups: { gpu: { adapt: { minimum: 0, maximum: 2 } } } }],
    [{ memory: 1 }, null],
    [{ workers: 3, cores: 1 }, null],
    [{}, null]
  ])('%j changes a cluster that is there with %j', (retry, change) => expect(remedyChange(problem(retry))).toEqual(change));
});
