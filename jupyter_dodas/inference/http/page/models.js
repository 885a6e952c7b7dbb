/** What is here: the list at the side, and one model with its versions. */

import { h, sure } from './dom.js';
import { path } from './api.js';
import * as words from './words.js';

/** @param {string} tone @param {string} word @returns {HTMLElement} a state, by its shape and its word */
export function state(tone, word) {
  return h('span.state', {}, h(`i.shape.${tone}`, { 'aria-hidden': 'true' }), word);
}

/**
 * The models, one to choose.
 * @param {any[]} models as the server tells of them
 * @param {string} chosen the name of the one that is shown
 * @returns {Node[]} the list
 */
export function list(models, chosen) {
  return [
    h('ul.models', {}, ...models.map(model => h('li', {}, h(
      'a', { id: `model-${model.model}`, href: `#${encodeURIComponent(model.model)}`, 'aria-current': model.model === chosen && 'true' },
      h('span.line', {}, h('span.name', {}, model.model), whether(model)),
      h('span.facts', {}, ...facts(model).map(one => h('span', {}, one)))
    ))))
  ];
}

function whether(model) {
  const answers = model.versions.find(one => one.version === model.published);
  if (answers?.health === 'broken') return state('bad', 'Broken');
  return model.published ? state('good', 'Published') : state('busy', 'Staged');
}

function facts({ versions, traffic, published }) {
  const staged = published ? versions.filter(one => one.state === 'staged').length : 0;
  const told = traffic ?? {};
  return [
    words.several(versions.length, 'version'),
    staged ? `${staged} staged` : '',
    told.per_second >= 0.1 ? `${words.brief(told.per_second)} req/s` : '',
    told.per_second >= 0.1 && told.p99_ms ? `p99 ${words.milliseconds(told.p99_ms)}` : ''
  ].filter(Boolean);
}

/**
 * Where models run.
 * @param {any[]} hosts as the server tells of them
 * @returns {Node[]} their names and states
 */
export function hosts(hosts) {
  const tones = { ready: 'good', starting: 'busy', draining: 'quiet' };
  return [
    h('h2', {}, 'Where they run'),
    hosts.length ? '' : h('p.help', {}, 'Nowhere yet: the first prediction starts a process.'),
    h('ul.hosts', {}, ...hosts.map(one => h(
      'li.line', {}, h('span.name', {}, one.name), h('span.help', {}, `${words.count(one.in_flight ?? 0)} in flight`),
      state(tones[one.state] ?? 'warn', one.state.replace(/^./, first => first.toUpperCase()))
    )))
  ].filter(Boolean);
}

/**
 * What goes through a model.
 * @param {any} model as the server tells of it
 * @returns {Node[]} its numbers, with their names
 */
export function traffic({ traffic }) {
  const told = traffic ?? {};
  const pairs = [
    ['Requests', words.count(told.requests ?? 0)],
    ['Failed', words.count(told.failures ?? 0)],
    ['A second', words.brief(told.per_second ?? 0)],
    ['Half within', told.p50_ms ? words.milliseconds(told.p50_ms) : '–'],
    ['99 % within', told.p99_ms ? words.milliseconds(told.p99_ms) : '–'],
    ['In flight', words.count(told.in_flight ?? 0)],
    ['Queued', words.count(told.queued ?? 0)]
  ];
  return [h('dl.numbers', {}, ...pairs.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))))];
}

/**
 * What can be done with a model as a whole.
 * @param {any} model as the server tells of it
 * @param {Set<string>} rights of whoever looks
 * @param {(method: string, path: string, body: any, said: string) => Promise<void>} act does it and reads all again
 * @returns {Node[]} the buttons
 */
export function verbs(model, rights, act) {
  if (!rights.has('publish')) return [];
  const at = `dodas/v1/models/${path(model.model)}`;
  const before = model.versions.find(one => one.version === model.previous);
  return [
    model.previous ? sure(
      'rollback', 'Roll back', `Let ${before?.version ?? model.previous} answer again, instead of ${model.published}?`,
      () => act('POST', `${at}/rollback`, {}, `${model.model} is rolled back to ${model.previous}.`)
    ) : '',
    sure(
      'delete', 'Delete', `Delete ${model.model} and its ${words.several(model.versions.length, 'version')}? This cannot be taken back.`,
      () => act('DELETE', at, undefined, `${model.model} is deleted.`)
    )
  ].filter(Boolean);
}

/**
 * The versions of a model, newest first.
 * @param {any} model as the server tells of it
 * @param {{name: string, rights: string[]}} caller who looks
 * @param {(method: string, path: string, body: any, said: string) => Promise<void>} act does it and reads all again
 * @returns {Node[]} one entry each
 */
export function versions(model, caller, act) {
  return [h('ul.versions', {}, ...model.versions.map(version => entry(model, version, caller, act)))];
}

function entry(model, version, caller, act) {
  const [word, tone] = words.STATES[version.state];
  const name = version.version;
  const at = `dodas/v1/models/${path(model.model)}`;
  const may = caller.rights.includes('publish');
  const own = version.state === 'staged' && version.lineage.owner === caller.name && caller.rights.includes('upload');
  const instead = model.published ? ` instead of ${model.published}` : '';
  const { lineage, check } = version;
  return h(
    'li', { 'aria-label': `Version ${name}` },
    h('div.line', {}, h('code.name', {}, name), h('span.help', {}, `${lineage.owner}, ${words.moment(lineage.created)}`), state(tone, word)),
    lineage.note && h('p', {}, lineage.note),
    h('p.help', {}, words.checked(version).join(' ')),
    version.health === 'broken' && h('div.note', {}, h('p', {}, 'Its process ended too often in a row; it rests for a while. Publish another version, or roll back.')),
    version.state === 'staged' && h('p.help', {}, 'Only its owner and administrators can see and call it until it is published.'),
    h(
      'div.acts', {},
      may && version.state !== 'published' && sure(
        `publish-${name}`, 'Publish', `Let ${name} answer everybody${instead}?`,
        () => act('POST', `${at}/publish`, { version: name }, `${name} is published.`)
      ),
      (may || own) && version.state !== 'published' && sure(
        `delete-${name}`, 'Delete', `Delete ${name}? This cannot be taken back.`,
        () => act('DELETE', `${at}/versions/${path(name)}`, undefined, `${name} is deleted.`)
      )
    ),
    h('details', { id: `more-${name}` }, h('summary', { id: `more-of-${name}` }, 'Details'), ...details(version, check, lineage))
  );
}

function details(version, check, lineage) {
  const tensors = many => many.map(one => `${one.name}: ${one.dtype} [${one.shape.map(n => n ?? 'any').join(', ')}]`).join('\n');
  const pairs = (told, how = String) => Object.entries(told ?? {}).map(([name, value]) => `${name} ${how(value)}`).join(', ');
  const rows = [
    ['Takes', tensors(version.signature.inputs)],
    ['Gives', tensors(version.signature.outputs)],
    ['Features', version.keys.join(', ')],
    ['Classes', version.labels.join(', ')],
    ['Metrics', pairs(lineage.metrics, one => words.count(one, 4))],
    ['Made with', pairs(lineage.packages)],
    ['Checked in', pairs(check.seconds, one => words.milliseconds(1000 * one))],
    ['Held in by', check.layers.join(', ')]
  ].filter(([, value]) => value);
  return [
    h('dl.pairs', {}, ...rows.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)])),
    ...(version.benchmark?.length ? [benchmark(version.benchmark)] : [])
  ];
}

function benchmark(rows) {
  const heads = ['Rows at once', 'Clients', 'Half within', '99 % within', 'Rows a second'];
  return h('div.scroll', { role: 'region', 'aria-label': 'Benchmark', tabindex: '0' }, h(
    'table', {}, h('caption', {}, 'Benchmark'),
    h('thead', {}, h('tr', {}, ...heads.map(one => h('th', { scope: 'col' }, one)))),
    h('tbody', {}, ...rows.map(row => h('tr', {}, ...[
      words.count(row.batch), words.count(row.clients), words.milliseconds(row.p50_ms), words.milliseconds(row.p99_ms),
      words.count(row.rows_per_second)
    ].map(one => h('td', {}, one)))))
  ));
}
