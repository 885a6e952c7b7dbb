/** What there is to tell of an infrastructure, in words. Pure: the time is an argument. */

import type { Infrastructure, Machine, Plan, QuotaLine, Vm } from './infrastructures';
import type { Schema, Step } from './records';
import { type Mark, MARKS, phaseName, type StepView } from './view';
import { clock, lasting, size, type Translator } from './words';

export interface InfrastructureWords {
  readonly phase: string;
  readonly mark: Mark;
  readonly facts: readonly string[];
  /** How far it is while it is made, or how far it came. */
  readonly steps: readonly StepView[];
  /** A sentence about something to come. */
  readonly note: string;
  readonly can: { readonly scale: boolean; readonly use: boolean; readonly cancel: boolean; readonly remove: boolean };
}

/** In the order in which one comes to them. */
const STEPS = ['Queued', 'Machines', 'Kubernetes'] as const;

export function infrastructureWords(one: Infrastructure, now: number, trans: Translator): InfrastructureWords {
  const deleting = one.wanted === 'absent' || one.phase === 'stopping';
  const launching = !deleting && (one.phase === 'pending' || one.phase === 'starting');
  // What is made for the first time was queued first.
  const changing = launching && one.steps.length > 0 && one.steps[0]?.name !== STEPS[0];
  const usable = !deleting && (one.phase === 'ready' || one.phase === 'degraded');
  return {
    phase: deleting ? trans.__('Deleting') : changing ? trans.__('Being changed') : one.phase === 'starting' ? trans.__('Being made') : phaseName(one.phase, trans),
    mark: deleting ? MARKS.stopping : MARKS[one.phase],
    facts: facts(one, now, trans),
    steps: launching || (one.phase === 'failed' && !deleting) ? steps(one, now, trans) : [],
    note: note(one, deleting, trans),
    can: { scale: usable && one.workers !== null, use: usable, cancel: launching && !changing, remove: !deleting && (!launching || changing) }
  };
}

function facts(one: Infrastructure, now: number, trans: Translator): readonly string[] {
  return [
    one.workers === null ? '' : trans._n('%1 worker', '%1 workers', one.workers),
    one.machines.length > 0 ? trans._n('%1 machine', '%1 machines', one.machines.length) : '',
    one.cloud === '' ? '' : trans.__('on %1', one.cloud),
    one.holders.length > 0 ? trans._n('%1 notebook uses it', '%1 notebooks use it', one.holders.length) : '',
    trans.__('since %1', clock(one.created, now))
  ].filter(fact => fact !== '');
}

function steps(one: Infrastructure, now: number, trans: Translator): readonly StepView[] {
  const failed = one.phase === 'failed';
  const begun = one.steps.map((step, at) => stepWords(step, failed && at === one.steps.length - 1, now, trans));
  const last = STEPS.findLastIndex(name => one.steps.some(step => step.name === name));
  const toCome = failed ? [] : STEPS.slice(last + 1);
  return [...begun, ...toCome.map(name => ({ mark: MARKS.pending, name: stepName(name, trans), time: '', now: false }))];
}

/** @param failed Whether it is the one that did not go well; then it is over as well. */
function stepWords({ name, started, ended, usually }: Step, failed: boolean, now: number, trans: Translator): StepView {
  const words = stepName(name, trans);
  if (failed || ended !== null) {
    const mark: Mark = failed ? MARKS.failed : { shape: '✓', tone: 'good' };
    return { mark, name: words, time: ended === null ? '' : lasting(ended - started), now: false };
  }
  const passed = sofar(now - started);
  const time = usually === null ? passed : trans.__('%1, usually %2', passed, lasting(usually));
  return { mark: MARKS.starting, name: words, time, now: true };
}

/** A time that goes on; by whole seconds, or it would not be still. */
function sofar(seconds: number): string {
  const whole = Math.floor(Math.max(0, seconds));
  return whole < 10 ? `${whole} s` : lasting(whole);
}

function stepName(name: string, trans: Translator): string {
  switch (name) {
    case 'Queued':
      return trans.__('Queued');
    case 'Machines':
      return trans.__('Machines');
    case 'Kubernetes':
      return trans.__('Kubernetes');
    default:
      return name;
  }
}

function note({ linger, holders }: Infrastructure, deleting: boolean, trans: Translator): string {
  if (deleting || linger === null) {
    return '';
  }
  if (holders.length > 0) {
    return linger > 0
      ? trans.__('It goes %1 after the last notebook has let go of it.', lasting(linger))
      : trans.__('It goes when the last notebook lets go of it.');
  }
  return trans.__('Nobody uses it: it goes after %1.', lasting(linger));
}

/** Inputs of a template as a form can ask for them: all have titles, and lists of nobody knows what are left to other faces. */
export function inputsOf({ properties = {}, ...schema }: Schema): Schema {
  const drawn = Object.entries(properties).filter(([, { type, items }]) => type !== 'array' || items !== undefined);
  const title = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1).replaceAll('_', ' ');
  return { ...schema, properties: Object.fromEntries(drawn.map(([name, one]) => [name, { title: title(name), ...one }])) };
}

/** What a machine is for. */
export function roleWords(role: string, trans: Translator): string {
  if (/^front/.test(role)) {
    return trans.__('Front end');
  }
  return /^(wn|worker)/.test(role) ? trans.__('Worker') : role;
}

/** `3 × Worker`, and what each of them is: `2 cores`, `4 GiB`, `20 GiB disk`, `public address`. */
export function machineWords({ count, role, ...one }: Machine, trans: Translator): { readonly what: string; readonly each: readonly string[] } {
  return {
    what: `${count} × ${roleWords(role, trans)}`,
    each: [
      trans._n('%1 core', '%1 cores', one.cores),
      one.memory > 0 ? size(one.memory) : '',
      one.disk > 0 ? trans.__('%1 disk', size(one.disk)) : '',
      one.public ? trans.__('public address') : ''
    ].filter(part => part !== '')
  };
}

/** All machines of a plan: `3 machines, 6 cores, 12 GiB`. */
export function sumWords({ machines }: Plan, trans: Translator): string {
  const sum = (of: (one: Machine) => number): number => machines.reduce((all, one) => all + one.count * of(one), 0);
  return [
    trans._n(
      '%1 machine',
      '%1 machines',
      sum(() => 1)
    ),
    trans._n(
      '%1 core',
      '%1 cores',
      sum(({ cores }) => cores)
    ),
    size(sum(({ memory }) => memory))
  ].join(', ');
}

/** Whether a plan does not keep to what one may have. */
export function exceeded({ asked, used, limit }: QuotaLine): boolean {
  return limit !== null && (used ?? 0) + asked > limit;
}

/** `8 + 6 of 32 cores`. */
export function quotaWords({ name, asked, used, limit }: QuotaLine, trans: Translator): string {
  const amount = (n: number): string => (/memory|disk|storage/i.test(name) ? size(n) : String(n));
  const wanted = used === null ? amount(asked) : `${amount(used)} + ${amount(asked)}`;
  return limit === null ? `${name}: ${wanted}` : trans.__('%1: %2 of %3', name, wanted, amount(limit));
}

/** Where a machine is reached. */
export function whereWords({ addresses }: Vm): string {
  return addresses.join(', ');
}

/** A report of what went wrong, for whoever is asked for help: words alone, no secret. */
export function infrastructureReport(one: Infrastructure, now: number): string {
  const problem = one.problem;
  return [
    `${one.name} (${one.template || 'a template of its own'}, ${one.provisioner}${one.cloud && `, ${one.cloud}`}): ${one.phase}`,
    ...(problem ? [`${problem.code}: ${problem.message}`, problem.cause, problem.remedy && `hint: ${problem.remedy}`].filter(text => text !== '') : []),
    '',
    ...one.steps.map(step => `${step.ended === null ? 'not done' : lasting(step.ended - step.started).padStart(8)}  ${step.name}`),
    ...one.machines.map(({ id, role, state }) => `${role || 'machine'} ${id}: ${state}`),
    '',
    `uid ${one.uid}, generation ${one.generation}${one.identifier && `, ${one.provisioner} ${one.identifier}`}, ${new Date(now * 1000).toISOString()}`
  ].join('\n');
}
