/** The form to try a version: a field for each named feature, a box for anything else, a picture where it takes one. */

import { h } from './dom.js';
import { Refusal, ask, path } from './api.js';
import * as words from './words.js';

const FIELDS = 64;

const DATATYPES = {
  float16: 'FP16', float32: 'FP32', float64: 'FP64', bool: 'BOOL', int8: 'INT8', int16: 'INT16', int32: 'INT32', int64: 'INT64',
  uint8: 'UINT8', uint16: 'UINT16', uint32: 'UINT32', uint64: 'UINT64'
};

/** What somebody wrote that is no value: said at the field. */
class Slip extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

/**
 * Which form suits a version.
 * @param {any} version as the server tells of it
 * @returns {'picture' | 'features' | 'box'} its kind
 */
export function kind({ channels, state, keys, signature: { inputs } }) {
  if (channels && state === 'published') return 'picture';
  const [only] = inputs;
  const width = inputs.length === 1 && only.shape.length === 2 && only.shape[0] === null ? only.shape[1] : 0;
  return keys.length && keys.length === width && width <= FIELDS ? 'features' : 'box';
}

/**
 * What is asked of the server: read by those who write it as curl or Python, too.
 * @typedef {{path: string, json?: any, picture?: File | null}} Asked
 */

/**
 * Draw the form.
 * @param {any} version as the server tells of it
 * @param {(asked: Asked) => void} changed hears what would be sent, whenever that is something else
 * @param {(words: string) => void} say tells those who do not see
 * @returns {HTMLElement} the form, with a place for what came back
 */
export function form(version, changed, say) {
  const makers = { picture, features, box };
  const { fields, read } = makers[kind(version)](version);
  const answer = h('div.answer', { id: 'answer', tabindex: '-1', role: 'region', 'aria-label': 'What came back' });
  const button = h('button.strong', { id: 'predict', type: 'submit' }, 'Predict');
  const told = () => {
    try {
      changed(read(false));
    } catch (error) {
      if (!(error instanceof Slip)) throw error; // half written: the example keeps what was right last
    }
  };
  const made = h('form.trying', { novalidate: true, oninput: told, onsubmit: send, 'aria-label': 'Try it' }, fields, h('div.acts', {}, button), answer);
  async function send(event) {
    event.preventDefault();
    for (const one of made.querySelectorAll('[aria-invalid]')) one.removeAttribute('aria-invalid');
    const slips = made.querySelector('.slip');
    slips.textContent = '';
    let asked;
    try {
      asked = read(true);
    } catch (error) {
      if (!(error instanceof Slip)) throw error;
      slips.textContent = error.message;
      error.field.setAttribute('aria-invalid', 'true');
      error.field.focus();
      return;
    }
    button.disabled = true;
    answer.setAttribute('aria-busy', 'true');
    const began = performance.now();
    try {
      const body = asked.picture === undefined ? asked.json : pictured(asked.picture, version.model);
      const said = await ask('POST', asked.path, body);
      const took = performance.now() - began;
      answer.replaceChildren(...results(said, version, took));
      say(`The prediction is there, after ${words.milliseconds(took)}.`);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      answer.replaceChildren(refused(error));
      say(error.message);
    } finally {
      button.disabled = false;
      answer.removeAttribute('aria-busy');
    }
  }
  told();
  return made;
}

/** @param {Refusal} error @returns {HTMLElement} what happened, why, and what to do */
export function refused(error) {
  return h('div.note', {}, h('p', {}, h('b', {}, error.message)), error.cause && h('p', {}, error.cause), error.remedy && h('p', {}, error.remedy));
}

function pictured(file, model) {
  const body = new FormData();
  body.append('model', model);
  body.append('image', file, file.name);
  return body;
}

function picture({ channels }) {
  const shown = h('img.shown', { alt: '', hidden: true });
  const input = h('input', { id: 'picture', type: 'file', accept: 'image/png,image/jpeg', 'aria-describedby': 'slip picture-help', onchange: show });
  function show() {
    if (shown.src) URL.revokeObjectURL(shown.src);
    const [file] = input.files;
    shown.hidden = !file;
    if (file) {
      shown.src = URL.createObjectURL(file);
      shown.alt = `The picture ${file.name}`;
    }
  }
  const colours = { 1: 'shades of grey', 3: 'colours', 4: 'colours and transparency' }[channels] ?? `${channels} channels`;
  const fields = h(
    'div', {}, h('label', { for: 'picture' }, 'Picture'), h('div.picking', {}, input, shown),
    h('p.help', { id: 'picture-help' }, `PNG or JPEG; the model takes ${colours}, of its own size.`), h('p.slip', { id: 'slip', role: 'alert' })
  );
  const read = strict => {
    const file = input.files[0] ?? null;
    if (strict && !file) throw new Slip(input, 'Choose a picture first.');
    return { path: 'predict/image', picture: file };
  };
  return { fields, read };
}

function features(version) {
  const fields = version.keys.map((key, at) => h('input', {
    id: `feature-${at}`, type: 'text', inputmode: 'decimal', autocomplete: 'off', value: '0', spellcheck: 'false', 'aria-describedby': 'slip', onpaste: spread(at)
  }));
  function spread(at) {
    return event => {
      const given = event.clipboardData.getData('text').trim().replace(/^\[+|\]+$/g, '').split(/[\s,;]+/);
      if (given.length < 2) return;
      event.preventDefault();
      given.slice(0, fields.length - at).forEach((one, next) => (fields[at + next].value = one));
      fields[at].dispatchEvent(new Event('input', { bubbles: true }));
    };
  }
  const read = () => asked(version, [version.keys.map((key, at) => number(fields[at], key, version.signature.inputs[0].dtype))]);
  const made = h(
    'div', {}, h('p.help', {}, `A row of ${words.several(fields.length, 'feature')}. Several numbers can be pasted into a field at once.`),
    h('div.fields', {}, ...fields.map((field, at) => h('div', {}, h('label', { for: field.id }, version.keys[at]), field))),
    h('p.slip', { id: 'slip', role: 'alert' })
  );
  return { fields: made, read };
}

function number(field, key, dtype) {
  const text = field.value.trim();
  const value = Number(text);
  if (text === '' || !Number.isFinite(value)) throw new Slip(field, `${key} takes a number, not “${text}”.`);
  if (!dtype.startsWith('float') && !Number.isInteger(value)) throw new Slip(field, `${key} takes a whole number.`);
  return value;
}

function box(version) {
  const { inputs } = version.signature;
  const boxes = inputs.map((tensor, at) => h('textarea', {
    id: `input-${at}`, rows: '4', spellcheck: 'false', autocomplete: 'off', 'aria-describedby': `slip of-${at}`
  }, start(tensor)));
  const made = h('div', {}, ...inputs.flatMap((tensor, at) => [
    h('label', { for: `input-${at}` }, tensor.name),
    boxes[at],
    h('p.help', { id: `of-${at}` }, `JSON: one row, or a list of rows, of ${tensor.dtype} [${tensor.shape.slice(1).map(n => n ?? 'any').join(', ')}].`)
  ]), h('p.slip', { id: 'slip', role: 'alert' }));
  const read = () => {
    const values = inputs.map((tensor, at) => nested(boxes[at], tensor));
    return inputs.length === 1 ? asked(version, values[0]) : v2(version, values);
  };
  return { fields: made, read };
}

function start({ shape, dtype }) {
  const lengths = shape.slice(1).map(n => n ?? 1);
  if (lengths.reduce((product, n) => product * n, 1) > 256) return '';
  return JSON.stringify(lengths.reduceRight((inner, n) => Array(n).fill(inner), dtype !== 'bool' && 0));
}

function nested(field, tensor) {
  let value;
  try {
    value = JSON.parse(field.value);
  } catch (error) {
    throw new Slip(field, field.value.trim() ? `${tensor.name} is not JSON: ${error.message}.` : `${tensor.name} is empty.`);
  }
  const lengths = measured(value);
  if (lengths === null) throw new Slip(field, `The rows of ${tensor.name} are not all of the same length, or hold what is no number.`);
  const rank = tensor.shape.length;
  const rows = lengths.length === rank - 1 ? [value] : value;
  const found = lengths.length === rank - 1 ? [1, ...lengths] : lengths;
  if (found.length !== rank || tensor.shape.some((n, axis) => n !== null && n !== found[axis])) {
    const wanted = tensor.shape.map(n => n ?? 'any').join(', ');
    throw new Slip(field, `${tensor.name} takes the shape [${wanted}], and this is [${lengths.join(', ')}].`);
  }
  return rows;
}

function measured(value) {
  if (typeof value === 'number' || typeof value === 'boolean') return [];
  if (!Array.isArray(value)) return null;
  const inner = value.map(measured);
  const [first = []] = inner;
  const same = inner.every(one => one !== null && one.length === first.length && one.every((n, axis) => n === first[axis]));
  return same ? [value.length, ...first] : null;
}

/** TFaaS's way where it can say it: one row of numbers, the published version, one output. Otherwise V2's. */
function asked(version, rows) {
  const { signature, model, keys, state } = version;
  const [input] = signature.inputs;
  const simple = state === 'published' && rows.length === 1 && signature.outputs.length === 1 && input.shape.length === 2 && input.dtype === 'float32';
  if (!simple) return v2(version, [rows]);
  return { path: 'json', json: { model, ...(keys.length ? { keys } : {}), values: rows[0] } };
}

function v2({ model, version, state, signature }, values) {
  const at = state === 'published' ? path('v2', 'models', model, 'infer') : path('v2', 'models', model, 'versions', version, 'infer');
  const inputs = signature.inputs.map(({ name, dtype }, which) => ({
    name, shape: measured(values[which]), datatype: DATATYPES[dtype], data: values[which].flat(Infinity)
  }));
  return { path: at, json: { inputs } };
}

function results(said, version, took) {
  const note = h('p.help', {}, `${words.milliseconds(took)} there and back, by version ${said.model_version ?? version.version}.`);
  if (Array.isArray(said)) return [table('', [said], version.labels), note];
  if (Array.isArray(said?.labels)) {
    return [table('', [said.labels.map(one => one.probability)], said.labels.map(one => one.label)), note];
  }
  return [...(said?.outputs ?? []).map(one => {
    const width = one.shape.slice(1).reduce((product, n) => product * n, 1);
    const rows = Array.from({ length: one.shape[0] ?? 1 }, (_, row) => one.data.slice(row * width, (row + 1) * width));
    return table(said.outputs.length > 1 ? one.name : '', rows, version.labels);
  }), note];
}

function table(name, rows, labels) {
  const shown = rows.slice(0, 20);
  const named = labels.length === rows[0]?.length;
  const values = shown.length === 1 && rows[0].length > 1 ? alone(shown[0], named ? labels : []) : wide(shown, named ? labels : []);
  const left = rows.length - shown.length;
  return h(
    'div.scroll', { role: 'region', 'aria-label': name || 'Prediction', tabindex: '0' },
    h('table', {}, name && h('caption', {}, name), ...values), left > 0 && h('p.help', {}, `and ${words.several(left, 'row')} more`)
  );
}

function alone(row, labels) {
  const bars = row.every(one => one >= 0 && one <= 1);
  return [
    h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, labels.length ? 'Class' : 'Output'), h('th', { scope: 'col' }, 'Value'))),
    h('tbody', {}, ...row.slice(0, 100).map((one, at) => h(
      'tr', {}, h('th', { scope: 'row' }, labels[at] ?? String(at + 1)),
      h('td', {}, String(one), bars && h('meter', { min: '0', max: '1', value: one, 'aria-hidden': 'true' }))
    )))
  ];
}

function wide(rows, labels) {
  return [
    h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Row'), ...(rows[0] ?? []).slice(0, 20).map((_, at) => h('th', { scope: 'col' }, labels[at] ?? `Output ${at + 1}`)))),
    h('tbody', {}, ...rows.map((row, at) => h('tr', {}, h('th', { scope: 'row' }, String(at + 1)), ...row.slice(0, 20).map(one => h('td', {}, String(one))))))
  ];
}
