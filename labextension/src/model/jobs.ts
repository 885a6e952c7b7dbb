/** The queue of a pool, as its page tells of it, and what can be said of it in words. */

import { lasting, size, type Translator } from './words';

/** A reason for which jobs are held, in words that the pool gives. */
export interface Hold {
  /** Names the reason as long as there are jobs with it. */
  readonly key: string;
  readonly words: string;
  readonly remedy: string;
  /** Whether to release them as they are may help. */
  readonly release: boolean;
  /** MiB to ask for instead, if more memory would help; 0 otherwise. */
  readonly memory: number;
  readonly since: number;
  readonly count: number;
  /** The first of them. */
  readonly jobs: readonly string[];
}

export interface Job {
  readonly job: string;
  readonly name: string;
  readonly status: string;
  readonly since: number;
  readonly worker: string;
}

export interface Queue {
  readonly counts: { readonly running: number; readonly waiting: number; readonly held: number; readonly suspended: number; readonly finished: number };
  readonly slots: { readonly workers: number; readonly cores: number; readonly coresUsed: number; readonly gpus: number; readonly gpusUsed: number };
  /** That of most jobs first. */
  readonly holds: readonly Hold[];
  /** Some of those that run, then some of those that wait. */
  readonly jobs: readonly Job[];
  /** When it was so, by the pool's own clock. */
  readonly now: number;
}

/** What a pool is asked. */
export interface Pool {
  look(): Promise<Queue>;
  /** Lets all jobs of a reason run again, with so many MiB if any. */
  release(hold: string, memory?: number): Promise<unknown>;
  remove(hold: string): Promise<unknown>;
}

/** A pool, asked through Jupyter Server: the same replies and errors as from the pool itself. */
export function poolOf(ask: (path: string, init?: RequestInit) => Promise<unknown>): Pool {
  const post = (path: string, body: object): Promise<unknown> => ask(path, { method: 'POST', body: JSON.stringify(body) });
  return {
    look: async () => queueOf(await ask('queue.json')),
    release: (held, memory = 0) => post('release', memory > 0 ? { held, memory } : { held }),
    remove: held => post('remove', { held })
  };
}

/** Reads what the page tells; what is not as it should be is left out. */
export function queueOf(told: unknown): Queue {
  const { counts, slots, held, jobs, now } = fields(told);
  const { running, waiting, held: holding, suspended, finished } = fields(counts);
  const { workers, cores, cores_used, gpus, gpus_used } = fields(slots);
  return {
    counts: { running: number(running), waiting: number(waiting), held: number(holding), suspended: number(suspended), finished: number(finished) },
    slots: { workers: number(workers), cores: number(cores), coresUsed: number(cores_used), gpus: number(gpus), gpusUsed: number(gpus_used) },
    holds: list(held).map(fields).filter(named('key')).map(holdOf),
    jobs: list(jobs).map(fields).filter(named('job')).map(jobOf),
    now: number(now)
  };
}

function holdOf({ key, words, remedy, release, memory, since, count, jobs }: Fields): Hold {
  const some = list(jobs).filter((job): job is string => typeof job === 'string');
  return {
    key: text(key),
    words: text(words),
    remedy: text(remedy),
    release: release === true,
    memory: number(memory),
    since: number(since),
    count: Math.max(number(count), some.length),
    jobs: some
  };
}

function jobOf({ job, name, status, since, worker }: Fields): Job {
  return { job: text(job), name: text(name), status: text(status), since: number(since), worker: text(worker) };
}

/** How it stands, in short: `6 of 8 cores in use`, `6 running`, `41 waiting`, `2 held`. What there is none of is left out. */
export function queueWords({ counts, slots }: Queue, trans: Translator): readonly string[] {
  const { running, waiting, held, suspended, finished } = counts;
  const many = (count: number): string => count.toLocaleString('en');
  return [
    slots.cores > 0 ? trans.__('%1 of %2 cores in use', many(slots.coresUsed), many(slots.cores)) : trans.__('no workers'),
    ...(slots.gpus > 0 ? [trans.__('%1 of %2 GPUs', many(slots.gpusUsed), many(slots.gpus))] : []),
    ...(running > 0 ? [trans.__('%1 running', many(running))] : []),
    ...(waiting > 0 ? [trans.__('%1 waiting', many(waiting))] : []),
    ...(held > 0 ? [trans.__('%1 held', many(held))] : []),
    ...(suspended > 0 ? [trans.__('%1 suspended', many(suspended))] : []),
    ...(finished > 0 ? [trans.__('%1 to be fetched', many(finished))] : []),
    ...(running + waiting + held + suspended + finished === 0 ? [trans.__('no jobs')] : [])
  ];
}

/** Which jobs a reason holds: `2 jobs are held`. */
export function holdWords({ count, jobs }: Hold, trans: Translator): string {
  return count === 1 ? trans.__('Job %1 is held', jobs[0] ?? '') : trans.__('%1 jobs are held', count.toLocaleString('en'));
}

/** The numbers of some jobs: `7.0, 7.1 and 40 more`. */
export function numberWords({ count, jobs }: Hold, most: number, trans: Translator): string {
  const some = jobs.slice(0, most);
  return count > some.length ? trans.__('%1 and %2 more', some.join(', '), (count - some.length).toLocaleString('en')) : some.join(', ');
}

/** An amount of memory that a job asks for. */
export function memoryWords(mebibytes: number): string {
  return size(mebibytes * 2 ** 20);
}

/** For how long something has been so; by whole minutes, since it is looked at every few seconds. */
export function ageWords(since: number, now: number, trans: Translator): string {
  const seconds = now - since;
  return seconds < 60 ? trans.__('just now') : lasting(seconds - (seconds % 60));
}

type Fields = { readonly [name: string]: unknown };

function named(name: string): (one: Fields) => boolean {
  return one => typeof one[name] === 'string';
}

function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function number(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}
