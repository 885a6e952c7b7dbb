/** The page: reads what is there every few seconds, and draws the parts of it that have changed. */

import { Refusal, ask, signed, use } from './api.js';
import { copier, h, redraw } from './dom.js';
import * as examples from './examples.js';
import * as models from './models.js';
import * as trying from './trying.js';
import * as words from './words.js';

const EVERY = 4000;
const $ = id => document.getElementById(id);

const seen = { status: null, models: null, loading: true, tried: '', language: 'curl', asked: null };
let timer = 0;
let reading = 0;

function say(what) {
  $('said').textContent = what;
}

/** Read everything again. What comes late, after a newer question, is let go. */
async function read() {
  const mine = (reading += 1);
  clearTimeout(timer);
  try {
    const [status, list] = await Promise.all([ask('GET', 'dodas/v1/status'), ask('GET', 'dodas/v1/models')]);
    if (mine !== reading) return;
    Object.assign(seen, { status, models: list.models, loading: false });
    trouble(null);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (mine !== reading) return;
    if (error.status === 401 || error.code === 'token-invalid') {
      Object.assign(seen, { status: null, models: null, loading: false });
      door(signed() ? error : null);
      return;
    }
    trouble(error);
  }
  draw();
  timer = setTimeout(() => (document.hidden ? null : read()), EVERY);
}

/** Do something, say so, and read everything again. */
async function act(method, path, body, said) {
  try {
    await ask(method, path, body);
    say(said);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    told = error;
  }
  await read();
}

let told = null; // what was refused last of what somebody did; it stays until it is put away

function trouble(error) {
  const shown = told ?? error;
  document.body.classList.toggle('lost', error !== null);
  redraw($('trouble'), shown && [shown.message, shown.cause, shown.remedy, told !== null], () => shown ? [h(
    'div.banner', {}, trying.refused(shown),
    told && h('button', { id: 'seen', type: 'button', onclick: () => { told = null; trouble(error); } }, 'Close')
  )] : []);
}

/** Ask who it is. */
function door(error) {
  trouble(null);
  redraw($('health'), null, () => []);
  redraw($('caller'), null, () => []);
  redraw($('list'), null, () => []);
  document.body.classList.add('closed');
  redraw($('main'), ['door', error?.message, error?.cause, reading], () => [h(
    'form.door.panel', { onsubmit: enter, 'aria-labelledby': 'door' },
    h('h2', { id: 'door' }, 'Who are you?'),
    h('p', {}, 'This server answers those whom it knows. Show it a token of your IAM, or the endpoint’s own.'),
    h('label', { for: 'token' }, 'Token'),
    h('input', { id: 'token', type: 'password', autocomplete: 'off', spellcheck: 'false', required: true, 'aria-describedby': 'token-help door-error' }),
    h('p.help', { id: 'token-help' }, 'It stays in the memory of this page alone, and is gone when you close or reload it.'),
    h('div', { id: 'door-error', role: 'alert' }, error && trying.refused(error)),
    h('div.acts', {}, h('button.strong', { id: 'enter', type: 'submit' }, 'Come in'))
  )]);
  $('token').focus();
}

function enter(event) {
  event.preventDefault();
  use($('token').value);
  read();
}

function leave() {
  use('');
  seen.tried = '';
  read();
}

function rights() {
  return new Set(seen.status?.caller.rights ?? []);
}

/** Whoever looks gave a token here, or none is needed; else something in between has added one, and this address is not the server's. */
function base() {
  const own = signed() || seen.status?.caller.name === 'anonymous';
  return own ? new URL('.', location.href.split('#')[0]).href : '$ENDPOINT/';
}

function draw() {
  const { status, models: all, loading } = seen;
  if (all === null) {
    if (loading) redraw($('main'), 'loading', () => [h('p.empty', { role: 'status' }, 'Reading the models …')]);
    return;
  }
  document.body.classList.toggle('closed', all.length === 0);
  redraw($('health'), [status.hosts.map(one => one.state), Math.round(status.uptime / 60)], () => [
    models.state('good', 'Answers'), h('span.help', {}, `up for ${words.duration(status.uptime)}`)
  ]);
  redraw($('caller'), [status.caller, signed()], () => caller(status.caller));
  redraw($('version'), status.version, () => [`jupyter-dodas ${status.version}`]);
  const chosen = all.find(one => one.model === decodeURIComponent(location.hash.slice(1))) ?? all[0];
  redraw($('list'), [all, chosen?.model, status.hosts], () => all.length ? [...models.list(all, chosen.model), ...models.hosts(status.hosts)] : []);
  if (chosen) one(chosen);
  else nothing();
}

function caller({ name, rights }) {
  const may = ['predict', 'upload', 'publish'].filter(one => rights.includes(one));
  return [
    h('span', {}, name === 'anonymous' ? 'Nobody has signed in' : name),
    h('span.help', {}, may.length ? `may ${may.join(', ')}` : 'may look'),
    name === 'anonymous' && h('button', { id: 'sign-in', type: 'button', onclick: () => door(null) }, 'Give a token'),
    signed() && h('button', { id: 'leave', type: 'button', onclick: leave }, 'Forget the token')
  ].filter(Boolean);
}

function nothing() {
  redraw($('main'), 'nothing', () => [h(
    'section.panel.empty', {}, h('h2', {}, 'No models yet'),
    h('p', {}, 'Deploy one from a notebook; it is checked, and stays yours alone until you publish it:'),
    h('pre', { tabindex: '0' }, h('code', {}, 'model = endpoint.deploy(keras_model, name="tagger")\nmodel.publish()'))
  )]);
}

/** One model. What changes every few seconds stands apart from what people write into. */
function one(model) {
  redraw($('main'), ['model', model.model], () => [
    h('div.line', {}, h('h2', { id: 'name' }, model.model), h('span.help', { id: 'answers' }), h('div.acts', { id: 'verbs' })),
    h('section', { id: 'traffic', 'aria-label': 'Traffic' }),
    h('div.two', {}, h('section.panel', { id: 'try', 'aria-labelledby': 'try-it' }), h('section.panel', { id: 'example', 'aria-labelledby': 'elsewhere' })),
    h('section.panel', { 'aria-labelledby': 'all-versions' }, h('h3', { id: 'all-versions' }, 'Versions'), h('div', { id: 'versions' }))
  ]);
  const may = [...rights()];
  const quiet = { ...model, traffic: null };
  redraw($('answers'), model.published, () => [model.published ? `Version ${model.published} answers.` : 'Nothing is published: only those who staged a version can call it.']);
  redraw($('verbs'), [model.model, model.published, model.previous, model.versions.length, may], () => models.verbs(model, rights(), act), true);
  redraw($('traffic'), model.traffic, () => models.traffic(model));
  redraw($('versions'), [quiet, seen.status.caller], () => models.versions(model, seen.status.caller, act), true);
  attempt(model);
}

function attempt(model) {
  const offered = model.versions;
  const version = offered.find(one => one.version === seen.tried) ?? offered.find(one => one.state === 'published') ?? offered[0];
  const choices = offered.map(one => [one.version, one.state]);
  redraw($('try'), [model.model, version.version, version.state, choices, rights().has('predict')], () => {
    const choose = event => {
      seen.tried = event.target.value;
      draw();
    };
    return [
      h('h3', { id: 'try-it' }, 'Try it'),
      offered.length > 1 && h('label', { for: 'tried' }, 'Version'),
      offered.length > 1 && h('select', { id: 'tried', onchange: choose }, ...choices.map(
        ([name, state]) => h('option', { value: name, selected: name === version.version }, `${name}, ${words.STATES[state][0].toLowerCase()}`)
      )),
      trying.form(version, asked => { seen.asked = asked; example(model); }, say)
    ].filter(Boolean);
  });
  example(model);
}

function example(model) {
  const needs = seen.status.caller.name !== 'anonymous';
  const at = base();
  if (!seen.asked || !$('example')) return;
  const text = examples[seen.language](at, seen.asked, model.model, needs);
  redraw($('example'), [text, at], () => {
    const tab = (language, name) => h('button', {
      id: `in-${language}`, type: 'button', 'aria-pressed': String(seen.language === language),
      onclick: () => { seen.language = language; example(model); }
    }, name);
    return [
      h('div.line', {}, h('h3', { id: 'elsewhere' }, 'The same elsewhere'), h(
        'div.acts', {}, h('div.tabs', { role: 'group', 'aria-label': 'Language' }, tab('curl', 'curl'), tab('python', 'Python')),
        copier('copy', 'the request', () => text, say)
      )),
      h('pre', { tabindex: '0', role: 'region', 'aria-label': 'The request' }, h('code', {}, text)),
      h('p.help', {}, [
        needs ? 'TOKEN holds your token; it is nowhere on this page.' : '',
        at.startsWith('$') ? 'ENDPOINT is what endpoint.page() says in a notebook.' : ''
      ].filter(Boolean).join(' '))
    ];
  });
}

addEventListener('hashchange', () => {
  seen.tried = '';
  draw();
  if (seen.models !== null) $('main').focus();
});
document.addEventListener('visibilitychange', () => document.hidden || read());
draw();
read();
