/** The page: reads the queue every few seconds, and draws the parts of it that have changed. */

import { button, draw, make } from './dom.js';

const EVERY = 3000;
const byId = id => document.getElementById(id);
const number = value => value.toLocaleString('en');
const jobs = count => (count === 1 ? '1 job' : `${number(count)} jobs`);

let timer = 0;
let asked = 0;
let refused = null; // what was refused of what somebody did; it stays until it is put away

/** What went wrong, in words. */
class Refusal extends Error {
  constructor({ message, cause = '', remedy = '' }) {
    super(message);
    Object.assign(this, { cause, remedy });
  }
}

/** Ask for something below the page's own path, so that it also works behind a proxy. */
async function ask(path, body) {
  const headers = { Accept: 'application/json', 'Content-Type': 'application/json' };
  const given = document.cookie.split('; ').find(one => one.startsWith('_xsrf='));
  if (given && body) headers['X-XSRFToken'] = decodeURIComponent(given.slice(6)); // Jupyter, where it stands between, wants it back
  let reply;
  try {
    reply = await fetch(path, { method: body ? 'POST' : 'GET', headers, body: body && JSON.stringify(body), cache: 'no-store', redirect: 'error' });
  } catch {
    throw new Refusal({ message: 'The pool does not answer', cause: 'It has ended or starts again, or the network is gone.', remedy: 'This page tries again.' });
  }
  const said = await reply.json().catch(() => null);
  if (reply.ok && said) return said;
  const error = said?.error ?? said;
  throw new Refusal(typeof error?.message === 'string' ? error : { message: `This was refused with status ${reply.status}` });
}

async function look() {
  const mine = ++asked;
  clearTimeout(timer);
  let trouble = null;
  try {
    const queue = await ask('queue.json');
    if (mine !== asked) return; // a newer question is under way
    show(queue);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (mine !== asked) return;
    trouble = error;
  }
  document.body.classList.toggle('lost', trouble !== null);
  tell(trouble);
  timer = setTimeout(() => document.hidden || look(), EVERY);
}

/** Do something, say so, and look again. */
async function act(path, body, said) {
  try {
    await ask(path, body);
    refused = null;
    byId('said').textContent = said;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    refused = error;
  }
  await look();
}

function tell(trouble) {
  const error = refused ?? trouble;
  const close = () => { refused = null; tell(null); byId('main').focus(); };
  draw(byId('trouble'), error && [error.message, error.cause, error.remedy, refused !== null], () => error ? [make(
    'div.panel.note.bad', {}, make('p', {}, make('strong', {}, error.message)), make('p', {}, error.cause), make('p', {}, error.remedy),
    refused && make('div.acts', {}, make('button', { id: 'close', type: 'button', click: close }, 'Close'))
  )] : []);
}

function show({ counts, slots, held, jobs: list, now }) {
  const total = counts.running + counts.waiting + counts.held + counts.suspended;
  draw(byId('summary'), [total, slots.workers], () => [
    make('span', {}, `${total ? jobs(total) : 'No jobs'} on ${slots.workers === 1 ? '1 worker' : `${slots.workers} workers`}`)
  ]);
  draw(byId('numbers'), [counts, slots], () => [
    fact('Running', number(counts.running)), fact('Waiting', number(counts.waiting)), fact('Held', number(counts.held)),
    counts.suspended > 0 && fact('Suspended', number(counts.suspended)),
    counts.finished > 0 && fact('Finished, to be fetched', number(counts.finished)),
    used('Cores', slots.cores_used, slots.cores, number), used('Memory', slots.memory_used, slots.memory, size),
    slots.gpus > 0 && used('GPUs', slots.gpus_used, slots.gpus, number)
  ]);
  draw(byId('held'), held.map(one => ({ ...one, since: ago(now - one.since) })), () => held.map(one => hold(one, now)));
  draw(byId('jobs'), [list.map(one => ({ ...one, since: ago(now - one.since) })), counts], () => [table(list, counts, now)]);
}

function fact(title, value) {
  return make('div', {}, make('dt', {}, title), make('dd', {}, value));
}

function used(title, some, all, words) {
  const value = all ? `${words(some)} of ${words(all)}` : 'none';
  return make('div', {}, make('dt', {}, `${title} in use`), make('dd', {}, value, all > 0 && make('meter', { max: all, value: some, 'aria-label': `${title} in use` })));
}

function hold({ key, words, remedy, release, memory, jobs: named, count, since }, now) {
  const title = count === 1 ? `Job ${named[0]} is held` : `${number(count)} jobs are held`;
  const numbers = named.join(', ') + (count > named.length ? ` and ${number(count - named.length)} more` : '');
  return make('article.panel.note', { 'aria-labelledby': `title-${key}` },
    make('div.line', {}, make('h2', { id: `title-${key}` }, title), make('span.soft', {}, `for ${ago(now - since)}`)),
    make('p', {}, words), memory === 0 && make('p', {}, remedy), // else the button is the remedy
    count > 1 && make('p.soft.mono', {}, numbers),
    make('div.acts', {},
      memory > 0 && button(`more-${key}`, `Release with ${size(memory)}`, { strong: true }, () => act('release', { held: key, memory }, `${jobs(count)} released.`)),
      release && button(`release-${key}`, 'Release', {}, () => act('release', { held: key }, `${jobs(count)} released.`)),
      button(`remove-${key}`, 'Remove', { question: `Remove ${jobs(count)} for good?` }, () => act('remove', { held: key }, `${jobs(count)} removed.`)),
      !release && memory === 0 && button(`release-${key}`, 'Release anyway', {}, () => act('release', { held: key }, `${jobs(count)} released.`))
    ));
}

const COLUMNS = [['Job'], ['Name'], ['State'], ['For', 'right'], ['Cores', 'right'], ['Memory', 'right'], ['Worker']];
const SHAPES = { running: 'running', waiting: 'waiting', suspended: 'suspended' };

function table(list, counts, now) {
  if (list.length === 0) {
    const more = counts.held ? 'Nothing runs or waits.' : 'Nothing is in the queue. Submit a job from a notebook: pool.submit(function, …).';
    return make('p.empty.panel', {}, more);
  }
  const left = counts.running + counts.waiting + counts.suspended - list.length;
  return make('div.panel.scroll', { tabindex: 0, role: 'region', 'aria-label': 'List of jobs' }, make('table', {},
    make('caption', {}, 'Running and waiting'),
    make('thead', {}, make('tr', {}, ...COLUMNS.map(([name, side]) => make(side ? `th.${side}` : 'th', { scope: 'col' }, name)), make('td', {}))),
    make('tbody', {}, ...list.map(job => row(job, now))),
    left > 0 && make('tfoot', {}, make('tr', {}, make('td', { colspan: COLUMNS.length + 1 }, `and ${number(left)} more`)))
  ));
}

function row({ job, name, status, since, cores, memory, worker }, now) {
  return make('tr', {},
    make('th.mono', { scope: 'row' }, job),
    make('td.wide', {}, name),
    make('td', {}, make(`span.shape.${SHAPES[status] ?? 'bringing'}`, { 'aria-hidden': 'true' }), status),
    make('td.right', {}, ago(now - since)),
    make('td.right', {}, number(cores)),
    make('td.right', {}, size(memory)),
    make('td', {}, worker),
    make('td', {}, make('div.acts', {}, button(
      `remove-${job}`, 'Remove', { question: 'For good?', name: `Remove ${job}` }, () => act('remove', { jobs: [job] }, `Job ${job} removed.`)
    ))));
}

/** As exact as changes every few seconds let it be. */
function ago(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds / 5) * 5)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  const hours = Math.floor(seconds / 3600);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} d`;
}

function size(mebibytes) {
  return mebibytes >= 1024 ? `${Number((mebibytes / 1024).toPrecision(3))} GiB` : `${mebibytes} MiB`;
}

document.addEventListener('visibilitychange', () => document.hidden || look());
look();
