import { describe, expect, it } from 'vitest';

import { cluster, DASK, QUOTA } from '../components/testing';
import { formSchema, given } from './form';
import { news } from './news';
import { connectCode, exampleCode, launchCode, literal } from './python';
import { bytes, rows, shares, told, withDefaults } from './quota';
import type { Json, Options, Schema } from './records';
import { faults } from './schema';
import { report, view } from './view';
import { english, lasting, size } from './words';

const NOW = 1_700_000_600;

describe('words', () => {
  // The same table as Python's, in tests/unit/test_display.py.
  it.each([
    [-3, '0.0 s'],
    [0.44, '0.4 s'],
    [9.94, '9.9 s'],
    [9.96, '10 s'],
    [59.6, '1 min'],
    [100, '1 min 40 s'],
    [660, '11 min'],
    [7500, '2 h 5 min'],
    [90000, '1 d 1 h']
  ])('%d seconds are %s', (seconds, words) => expect(lasting(seconds)).toBe(words));

  it.each([
    [0, '0 B'],
    [2 ** 31, '2 GiB'],
    [1.5 * 2 ** 30, '1.5 GiB'],
    [3 * 2 ** 60, '3072 PiB']
  ])('%d bytes are %s', (amount, words) => expect(size(amount)).toBe(words));

  it('fills in what it is given', () => {
    expect(english.__('%1 of %2, %3', 1, '$&')).toBe('1 of $&, %3');
    expect(english._n('%1 core', '%1 cores', 2)).toBe('2 cores');
  });
});

describe('a cluster in words', () => {
  it('tells how big it is', () => {
    const { facts, phase, mark } = view(cluster({ workers: 4 }), NOW, english);
    expect(phase).toBe('Ready');
    expect(mark.shape).toBe('●');
    expect(facts.slice(0, 3)).toEqual(['4 workers', '4 cores', '8 GiB']);
  });

  it('names the bounds, and who does not answer yet', () => {
    const one = cluster({ workers: 1, spec: { options: { adapt: { minimum: 0, maximum: 10 } } }, status: { targets: { worker: 3 } } });
    expect(view(one, NOW, english).facts.slice(0, 2)).toEqual(['1 of 3 workers', 'adapts 0 to 10']);
  });

  it('shows steps with what they took or usually take, never a percentage', () => {
    const steps = [
      { name: 'Scheduler answers', started: 0, ended: 2, usually: 1 },
      { name: 'Workers register', started: 2, ended: null, usually: 6 },
      { name: 'First time', started: 2, ended: null, usually: null }
    ];
    const shown = view(cluster({ phase: 'starting', status: { steps } }), NOW, english).steps;
    expect(shown.map(({ mark, time, now }) => [mark.shape, time, now])).toEqual([
      ['✓', '2.0 s', false],
      ['◐', 'usually 6.0 s', true],
      ['◐', '', true]
    ]);
  });

  it('warns of the stop', () => {
    const shown = view(cluster({ status: { stops_at: NOW + 600, idle_since: NOW - 3000 } }), NOW, english);
    expect(shown.ending).toBe(true);
    expect(shown.mark.tone).toBe('warn');
    expect(shown.note).toContain('in 10 min, unless it is kept.');
  });

  it('is stopping as soon as that is asked', () => {
    expect(view(cluster({ spec: { intent: 'stop' } }), NOW, english).phase).toBe('Stopping');
  });

  it('reports what went wrong', () => {
    const problem = { code: 'launch-failed', message: 'It broke', cause: 'Why', remedy: 'Mend it' };
    expect(report(cluster({ phase: 'failed', status: { problem } }), NOW)).toContain('launch-failed: It broke\nWhy\nhint: Mend it');
  });
});

describe('Python', () => {
  it('launches with what differs', () => {
    expect(launchCode('dask', 'higgs', { workers: 4, memory: '4 GiB' }, 'client = cluster.client()')).toBe(
      'import jupyter_dodas as dodas\n\ncluster = dodas.dask(name="higgs", workers=4, memory="4 GiB")\nclient = cluster.client()\n'
    );
  });

  it('breaks long lines', () => {
    const code = launchCode('dask', 'a-rather-long-name', { workers: 4, memory: '4 GiB', idle_timeout: null }, '');
    expect(code).toContain('dodas.dask(\n    name="a-rather-long-name",\n    workers=4,\n    memory="4 GiB",\n    idle_timeout=None,\n)');
  });

  it('writes bounds as a pair', () => {
    const adapt = { minimum: 0, maximum: 9 };
    expect(launchCode('dask', '', { adapt }, '')).toContain('dodas.dask(adapt=[0, 9])');
    expect(launchCode('dask', '', { groups: { gpu: { adapt } } }, '')).toContain('groups={"gpu": {"adapt": [0, 9]}}');
  });

  it('takes kinds and options that are no names', () => {
    const code = launchCode('my-kind', '', { 'spark.ui': 1, class: true }, '');
    expect(code).toContain('dodas.launch(\n    "my-kind",\n    **{"spark.ui": 1, "class": True},\n)');
  });

  it.each<[Json, string]>([
    [null, 'None'],
    [[true, 1.5, 'a'], '[True, 1.5, "a"]'],
    ['"\\\n', '"\\"\\\\\\n"'],
    ['a\u202eb\u2028', '"a\\u202eb\\u2028"'],
    [{ 'a b': {} }, '{"a b": {}}']
  ])('writes %j', (value, python) => expect(literal(value)).toBe(python));

  it('connects without an address', () => {
    expect(connectCode('higgs', 'spark = cluster.session()')).toBe(
      'import jupyter_dodas as dodas\n\ncluster = dodas.connect("higgs")\nspark = cluster.session()\n'
    );
    expect(exampleCode('higgs', { snippet: 'client = cluster.client()', example: 'client.submit(sum, [1])' })).toBe(
      `${connectCode('higgs', 'client = cluster.client()')}\nclient.submit(sum, [1])\n`
    );
  });
});

describe('quota', () => {
  it.each<[Json, number | undefined]>([
    ['2 GiB', 2 ** 31],
    ['2GB', 2e9],
    ['512 mib', 2 ** 29],
    [' .5 k ', 500],
    [7, 7],
    ['lots', undefined],
    ['1 parsec', undefined],
    [null, undefined]
  ])('reads %j', (value, amount) => expect(bytes(value)).toBe(amount));

  it('counts groups and bounds', () => {
    const asked = withDefaults(DASK.options, { workers: 4, cores: 2, groups: { gpu: { adapt: { minimum: 1, maximum: 3 }, cores: 8, memory: '1 GiB' } } });
    expect(shares(asked)).toEqual({
      least: { clusters: 1, workers: 5, cores: 16, memory: 9 * 2 ** 30 },
      most: { clusters: 1, workers: 7, cores: 32, memory: 11 * 2 ** 30 }
    });
  });

  it('tells what is used and asked for', () => {
    const asked = { clusters: 1, workers: 4, cores: 8, memory: 2 ** 34 };
    expect(rows(QUOTA, asked).map(row => told(row, english))).toEqual(['14 + 8 of 32 cores', '38 GiB + 16 GiB of 96 GiB']);
  });
});

describe('the schema', () => {
  const look = (value: Json, schema: Schema = DASK.options): string[] =>
    faults(schema, value, schema, english).map(({ path, keyword }) => `${path.join('.')}: ${keyword}`);

  it.each<[Json, string[]]>([
    [{}, []],
    [{ workers: 3, memory: '4 GiB', adapt: null, idle_timeout: null, environment: { variables: { A: 'b' } } }, []],
    [{ workers: -1 }, ['workers: minimum']],
    [{ workers: 1.5 }, ['workers: type']],
    [{ workers: '2' }, ['workers: type']],
    [{ wokers: 2 }, ['wokers: additionalProperties']],
    [{ adapt: {} }, ['adapt.maximum: required']],
    [{ adapt: { maximum: -1 } }, ['adapt.maximum: minimum']],
    [{ memory: '1 MiB' }, ['memory: minimum']],
    [{ memory: 'much' }, ['memory: type']],
    [{ environment: { variables: { A: 1 } } }, ['environment.variables.A: type']],
    [{ idle_timeout: -1 }, ['idle_timeout: minimum']],
    [[], [': type']]
  ])('finds in %j: %j', (value, found) => expect(look(value)).toEqual(found));

  it('takes names of JavaScript itself for nothing special', () => {
    expect(look(JSON.parse('{"constructor": 1, "__proto__": 2}') as Json)).toEqual(['constructor: additionalProperties', '__proto__: additionalProperties']);
  });

  it('passes over what only Python understands, and does not follow circles for ever', () => {
    expect(look('a', { type: 'string', pattern: '(?P<a>.)' })).toEqual([]);
    expect(look('a', { $ref: '#/$defs/A', $defs: { A: { $ref: '#/$defs/A' } } })).toEqual([]);
    expect(look('a', { $ref: '#/$defs/A', $defs: { A: { allOf: [{ $ref: '#/$defs/A' }] } } })).toEqual([]);
  });
});

describe('the form', () => {
  it('leaves out instead of offering nothing', () => {
    const { properties } = formSchema(DASK.options);
    expect(properties?.['adapt']).toEqual({ $ref: '#/$defs/Adapt', description: 'Bounds instead of a number.' });
    expect(properties?.['idle_timeout']).toMatchObject({ type: 'number', title: 'Idle timeout', default: 3600 });
    expect(properties?.['memory']).toMatchObject({ type: 'string', default: '2 GiB' });
    expect(properties?.['memory']).not.toHaveProperty('pattern');
  });

  it.each<[object, Options]>([
    [{}, {}],
    [{ workers: 2, cores: 1, memory: '2 GiB', spill: true, idle_timeout: 3600 }, {}],
    [{ workers: 3, memory: '2.5 GiB', spill: false }, { workers: 3, memory: '2.5 GiB', spill: false }],
    [{ idle_timeout: undefined }, { idle_timeout: null }],
    [{ adapt: { minimum: 0, maximum: 5 } }, { adapt: { minimum: 0, maximum: 5 } }],
    [{ adapt: undefined }, {}],
    [{ environment: { variables: {} } }, {}],
    [{ environment: { variables: { A: 'b' }, folder: undefined } }, { environment: { variables: { A: 'b' } } }]
  ])('asks, of %j, for %j', (values, asked) => expect(given(DASK.options, values as Options)).toEqual(asked));
});

describe('news', () => {
  it.each([
    ['ready', cluster({ phase: 'starting' }), cluster(), ['ready']],
    ['back', cluster({ phase: 'degraded' }), cluster(), []],
    ['failed', cluster(), cluster({ phase: 'failed' }), ['failed']],
    ['the same', cluster(), cluster(), []],
    ['another of its name', cluster({ phase: 'starting', spec: { uid: 'old' } }), cluster(), ['ready']],
    ['about to stop', cluster(), cluster({ status: { stops_at: NOW } }), ['idle']],
    ['warned of before', cluster({ status: { stops_at: NOW } }), cluster({ status: { stops_at: NOW } }), []]
  ])('%s', (_, before, after, told) => expect(news([before], [after]).map(({ what }) => what)).toEqual(told));

  it('of the first list is only what will be stopped', () => {
    const found = news(null, [cluster({ name: 'a' }), cluster({ name: 'b', phase: 'failed' }), cluster({ name: 'c', status: { stops_at: NOW } })]);
    expect(found.map(one => one.cluster.name)).toEqual(['c']);
  });

  it('of what is new in a later list is also what it was launched for', () => {
    const found = news([cluster({ name: 'z' })], [cluster({ name: 'a' }), cluster({ name: 'b', phase: 'failed' }), cluster({ name: 'c', phase: 'starting' })]);
    expect(found.map(({ what, cluster: { name } }) => [what, name])).toEqual([
      ['ready', 'a'],
      ['failed', 'b']
    ]);
  });
});
