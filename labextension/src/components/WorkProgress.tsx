/** What a cluster does for a cell: bars while it runs, and one line when it has ended. */

import * as React from 'react';

import { type Counts, counted, ending, read, type Work, type WorkReport } from '../model/work';
import { lasting, type Translator } from '../model/words';
import { Shape } from './texts';

/** What an output holds; as plain text where that is of a later version. */
export function WorkOutput({ said, text, trans }: { said: unknown; text: string; trans: Translator }): JSX.Element {
  const report = read(said);
  return report === null ? <pre>{text}</pre> : <WorkProgress report={report} trans={trans} />;
}

export function WorkProgress({ report, trans }: { report: WorkReport; trans: Translator }): JSX.Element {
  const { state, title, cluster, item, seconds, sum, works } = report;
  if (state === 'ended') {
    const { mark, sentence } = ending(report, trans);
    return (
      <p className="dodas-Work" role="status" dir="auto">
        <Shape mark={mark} /> {sentence}
      </p>
    );
  }
  const more = sum.rows - works.length;
  return (
    <section className="dodas-Work" aria-label={trans.__('Work of %1', cluster)}>
      <div className="dodas-Row">
        <b>{title}</b>
        <span className="dodas-Work-cluster" dir="auto">
          {cluster}
        </span>
        <span>{counted(sum, trans, item)}</span>
        <span className="dodas-Time">{lasting(seconds)}</span>
      </div>
      <ul>
        {works.map((work, at) => (
          <Bar key={`${at} ${work.name}`} work={work} trans={trans} />
        ))}
      </ul>
      {more > 0 && <div className="dodas-Time">{trans._n('and %1 more', 'and %1 more', more)}</div>}
      {/* Whoever listens is told of the beginning, of failures and of the end, and can ask the bars for the rest. */}
      <span className="dodas-Unseen" role="status">
        {sum.failed ? trans.__('%1 works: %2 failed', title, sum.failed) : trans.__('%1 works', title)}
      </span>
    </section>
  );
}

const PARTS: readonly (keyof Counts)[] = ['done', 'failed', 'running'];

function Bar({ work, trans }: { work: Work; trans: Translator }): JSX.Element {
  const said = counted(work, trans);
  return (
    <li>
      <span className="dodas-Work-name" dir="auto" title={work.name}>
        {work.name}
      </span>
      <div
        className="dodas-Work-track"
        role="progressbar"
        aria-label={work.name}
        aria-valuemin={0}
        aria-valuemax={work.total}
        aria-valuenow={work.done}
        aria-valuetext={said}
      >
        {PARTS.map(part => (
          <i key={part} className={`dodas-is-${part}`} style={{ width: share(work[part], work.total) }} />
        ))}
      </div>
      <span className="dodas-Work-counts" aria-hidden="true">
        {said}
      </span>
    </li>
  );
}

function share(part: number, total: number): string {
  return `${total > 0 ? Math.max(0, Math.min(100, (100 * part) / total)) : 0}%`;
}
