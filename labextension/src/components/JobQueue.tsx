/** The queue of a pool, drawn from its properties alone: how it stands, what holds jobs and what to do about it, and the first jobs. */

import * as React from 'react';

import { ageWords, type Hold, holdWords, type Job, memoryWords, numberWords, type Queue, queueWords } from '../model/jobs';
import type { Problem } from '../model/records';
import type { Mark } from '../model/view';
import type { Translator } from '../model/words';
import { type Task, useTask } from './hooks';
import { Sure } from './Sure';
import { ProblemNote, Sentence, Shape } from './texts';

export interface JobQueueProps {
  /** Null until it is known. */
  readonly queue: Queue | null;
  /** Why it is not known, or no longer. */
  readonly problem: Problem | null;
  readonly trans: Translator;
  /** Lets all jobs of a reason run again, with so many MiB if any. */
  readonly onRelease: (hold: string, memory?: number) => Promise<unknown>;
  readonly onRemove: (hold: string) => Promise<unknown>;
  /** Shows the page with all of it. */
  readonly onOpen: () => void;
}

/** More reasons, jobs of a reason and jobs than these are only counted. */
const REASONS = 3;
const NUMBERS = 6;
const JOBS = 12;

const MARKS: { readonly [status: string]: Mark } = {
  running: { shape: '●', tone: 'good' },
  waiting: { shape: '○', tone: 'quiet' },
  suspended: { shape: '◌', tone: 'quiet' }
};
const OTHER: Mark = { shape: '◐', tone: 'busy' };

export function JobQueue(props: JobQueueProps): JSX.Element {
  const { queue, problem, trans } = props;
  const { busy, refused, run, forget } = useTask();
  return (
    <section className="dodas-Jobs" aria-label={trans.__('Jobs')} aria-busy={busy}>
      {queue && (
        <>
          <div className="dodas-Row dodas-Facts">
            {queueWords(queue, trans).map(fact => (
              <span key={fact}>{fact}</span>
            ))}
          </div>
          {queue.holds.slice(0, REASONS).map(hold => (
            <HoldNote key={hold.key} {...props} hold={hold} now={queue.now} busy={busy} run={run} />
          ))}
          {queue.holds.length > REASONS && (
            <p className="dodas-Facts">{trans._n('and %1 more reason for holding jobs', 'and %1 more reasons for holding jobs', queue.holds.length - REASONS)}</p>
          )}
        </>
      )}
      {queue === null && problem === null && (
        <p className="dodas-Help" role="status">
          {trans.__('Reading the queue…')}
        </p>
      )}
      {problem && <ProblemNote problem={problem} tone="warn" />}
      {refused && (
        <ProblemNote problem={refused}>
          <button type="button" onClick={forget}>
            {trans.__('Close')}
          </button>
        </ProblemNote>
      )}
      {queue && queue.jobs.length > 0 && <FirstJobs {...props} queue={queue} />}
    </section>
  );
}

interface HoldProps extends JobQueueProps {
  readonly hold: Hold;
  readonly now: number;
  readonly busy: boolean;
  readonly run: (task: Task) => Promise<boolean>;
}

function HoldNote({ hold, now, busy, run, trans, onRelease, onRemove }: HoldProps): JSX.Element {
  const { key, words, remedy, release, memory, since, count } = hold;
  const title = holdWords(hold, trans);
  const releasing = (label: string): JSX.Element => (
    <button type="button" disabled={busy} onClick={() => void run(() => onRelease(key))}>
      {label}
    </button>
  );
  return (
    <article className="dodas-Note dodas-is-warn" aria-label={title}>
      <div className="dodas-Row">
        <strong>{title}</strong>
        <span className="dodas-Time">{ageWords(since, now, trans)}</span>
      </div>
      <Sentence text={words} />
      {/* Else the button is the remedy. */}
      {memory === 0 && <Sentence text={remedy} />}
      {count > 1 && <p className="dodas-Numbers">{numberWords(hold, NUMBERS, trans)}</p>}
      <div className="dodas-Actions">
        {memory > 0 && (
          <button type="button" className="dodas-is-strong" disabled={busy} onClick={() => void run(() => onRelease(key, memory))}>
            {trans.__('Release with %1', memoryWords(memory))}
          </button>
        )}
        {release && releasing(trans.__('Release'))}
        <Sure
          label={trans.__('Remove')}
          question={trans._n('Remove this job for good?', 'Remove %1 jobs for good?', count)}
          busy={busy}
          trans={trans}
          run={run}
          onSure={() => onRemove(key)}
        />
        {!release && memory === 0 && releasing(trans.__('Release anyway'))}
      </div>
    </article>
  );
}

function FirstJobs({ queue, trans, onOpen }: JobQueueProps & { readonly queue: Queue }): JSX.Element {
  const [open, setOpen] = React.useState(false);
  const id = React.useId();
  const { running, waiting, suspended } = queue.counts;
  const shown = queue.jobs.slice(0, JOBS);
  const more = running + waiting + suspended - shown.length;
  return (
    <div className="dodas-Folded">
      <button type="button" aria-expanded={open} aria-controls={id} onClick={() => setOpen(!open)}>
        {trans.__('Jobs')}
      </button>
      <div id={id}>
        {open && (
          <>
            <ul className="dodas-JobRows">
              {shown.map(job => (
                <JobRow key={job.job} job={job} now={queue.now} trans={trans} />
              ))}
            </ul>
            <div className="dodas-Actions">
              {more > 0 && <span className="dodas-Facts">{trans._n('and %1 more', 'and %2 more', more, more.toLocaleString('en'))}</span>}
              <button type="button" onClick={onOpen}>
                {trans.__('All jobs')}
              </button>
            </div>
          </>
        )}
      </div>
    </div>
  );
}

function JobRow({ job, now, trans }: { readonly job: Job; readonly now: number; readonly trans: Translator }): JSX.Element {
  const words: { readonly [status: string]: string } = {
    running: trans.__('running'),
    waiting: trans.__('waiting'),
    suspended: trans.__('suspended'),
    'bringing results back': trans.__('bringing results back')
  };
  return (
    <li className="dodas-Row" title={job.worker}>
      <code>{job.job}</code>
      <span className="dodas-JobName" dir="auto">
        {job.name}
      </span>
      <span>
        <Shape mark={MARKS[job.status] ?? OTHER} /> {words[job.status] ?? job.status}
      </span>
      <span className="dodas-Time">{ageWords(job.since, now, trans)}</span>
    </li>
  );
}
