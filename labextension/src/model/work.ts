/** What clusters do for a cell, as the kernel tells it (`jupyter_dodas.display.work` says the same in Python). */

import type { Mark } from './view';
import { lasting, type Translator } from './words';

/** Numbers of tasks. */
export interface Counts {
  readonly total: number;
  readonly done: number;
  readonly running: number;
  readonly failed: number;
}

/** Tasks that belong together: a stage of Spark, the tasks of one name in Dask. */
export interface Work extends Counts {
  readonly name: string;
}

export interface WorkReport {
  readonly version: 1;
  readonly state: 'running' | 'ended';
  /** The name that the community knows: `Spark`. */
  readonly title: string;
  readonly cluster: string;
  /** What one of `works` is, in the singular: `stage`; empty if that is not worth counting. */
  readonly row: string;
  /** What is counted, in the singular: `task`. */
  readonly item: string;
  readonly seconds: number;
  /** Those worth showing; `sum` has all. */
  readonly works: readonly Work[];
  readonly sum: Counts & { readonly rows: number };
}

/** What an output holds, or null if it is not what this version reads. */
export function read(value: unknown): WorkReport | null {
  return isReport(value) ? value : null;
}

function isReport(value: unknown): value is WorkReport {
  return (
    has(value, ['title', 'cluster', 'row', 'item'], 'string') &&
    has(value, ['seconds'], 'number') &&
    value['version'] === 1 &&
    (value['state'] === 'running' || value['state'] === 'ended') &&
    Array.isArray(value['works']) &&
    value['works'].every(work => has(work, ['name'], 'string') && has(work, COUNTS, 'number')) &&
    has(value['sum'], [...COUNTS, 'rows'], 'number')
  );
}

const COUNTS = ['total', 'done', 'running', 'failed'];

function has(value: unknown, names: readonly string[], type: 'string' | 'number'): value is { readonly [name: string]: unknown } {
  return (
    typeof value === 'object' && value !== null && names.every(name => typeof (value as { [name: string]: unknown })[name] === type)
  );
}

/** How far it is: `96 of 128 tasks, 4 running, 1 failed`. */
export function counted({ total, done, running, failed }: Counts, trans: Translator, item = ''): string {
  const words = [
    item ? trans.__('%1 of %2', done, things(total, item, trans)) : trans.__('%1 of %2', done, total),
    running ? trans.__('%1 running', running) : '',
    failed ? trans.__('%1 failed', failed) : ''
  ];
  return words.filter(word => word !== '').join(', ');
}

/** The one line that stays: `Spark: 3 stages, 128 tasks in 4.2 s`. */
export function ending({ title, row, item, seconds, sum }: WorkReport, trans: Translator): { mark: Mark; sentence: string } {
  const tasks = things(sum.total, item, trans);
  const all = sum.done >= sum.total;
  const words = [
    row ? things(sum.rows, row, trans) : '',
    trans.__('%1 in %2', all ? tasks : trans.__('%1 of %2', sum.done, tasks), lasting(seconds)),
    sum.failed ? trans.__('%1 failed', sum.failed) : ''
  ];
  return { mark: judged(all, sum.failed > 0), sentence: `${title}: ${words.filter(word => word !== '').join(', ')}` };
}

function judged(all: boolean, failed: boolean): Mark {
  if (failed) {
    return all ? { shape: '▲', tone: 'warn' } : { shape: '✕', tone: 'bad' };
  }
  return all ? { shape: '✓', tone: 'good' } : { shape: '□', tone: 'quiet' };
}

/** A number of what a kind names, so that another kind needs no change here. */
function things(number: number, noun: string, trans: Translator): string {
  return trans._n(`%1 ${noun}`, `%1 ${noun}s`, number);
}
