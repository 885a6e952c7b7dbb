/** What the instances of a cluster write: followed, searched, by role. Lines come from outside; only the last few thousand are kept. */

import * as React from 'react';

import { problemOf } from '../model/api';
import type { Cluster, LogLine, Problem } from '../model/records';
import type { Translator } from '../model/words';
import { ProblemNote } from './texts';

export interface LogViewProps {
  readonly cluster: Cluster;
  /** Opens the stream of lines. */
  readonly open: (name: string, signal: AbortSignal) => AsyncIterable<readonly LogLine[]>;
  readonly trans: Translator;
}

const MOST_LINES = 5000;

export function LogView({ cluster, open, trans }: LogViewProps): JSX.Element {
  const [lines, setLines] = React.useState<readonly LogLine[]>([]);
  const [problem, setProblem] = React.useState<Problem | null>(null);
  const [ended, setEnded] = React.useState(false);
  const [of, setOf] = React.useState('');
  const [search, setSearch] = React.useState('');
  const [follow, setFollow] = React.useState(true);
  const box = React.useRef<HTMLDivElement>(null);
  const { name } = cluster;
  const { uid } = cluster.spec;

  React.useEffect(() => {
    const control = new AbortController();
    setLines([]);
    setProblem(null);
    setEnded(false);
    const read = async (): Promise<void> => {
      try {
        for await (const more of open(name, control.signal)) {
          setLines(before => [...before, ...more].slice(-MOST_LINES));
        }
        setEnded(true);
      } catch (error) {
        if (!control.signal.aborted) {
          setProblem(problemOf(error));
        }
      }
    };
    void read();
    return () => control.abort();
  }, [name, uid, open]);

  const instances = Object.entries(cluster.status.instances);
  const parts = [...new Set(instances.map(([, { role }]) => role)), ...instances.map(([instance]) => instance)];
  const roles = new Map(instances.map(([instance, { role }]) => [instance, role]));
  const sought = search.toLowerCase();
  const shown = lines.filter(
    ({ instance, line }) =>
      (of === '' || instance === of || roles.get(instance) === of) && (sought === '' || line.toLowerCase().includes(sought))
  );

  React.useLayoutEffect(() => {
    if (follow && box.current) {
      box.current.scrollTop = box.current.scrollHeight;
    }
  }, [follow, shown.length, lines]);

  return (
    <section className="dodas-Logs" aria-label={trans.__('Logs of %1', name)}>
      <div className="dodas-Row dodas-Head" role="search">
        <select aria-label={trans.__('Whose')} value={of} onChange={event => setOf(event.target.value)}>
          <option value="">{trans.__('All')}</option>
          {[...new Set(parts)].map(part => (
            <option key={part} value={part}>
              {part}
            </option>
          ))}
        </select>
        <input
          type="search"
          aria-label={trans.__('Search')}
          placeholder={trans.__('Search')}
          value={search}
          onChange={event => setSearch(event.target.value)}
        />
        <label>
          <input type="checkbox" checked={follow} onChange={event => setFollow(event.target.checked)} /> {trans.__('Follow')}
        </label>
        <span className="dodas-Help" role="status">
          {sought ? trans._n('%1 line', '%1 lines', shown.length) : ended ? trans.__('It has ended.') : ''}
        </span>
      </div>
      {problem && <ProblemNote problem={problem} />}
      <div
        className="dodas-Lines"
        ref={box}
        role="log"
        aria-live="off"
        aria-label={trans.__('Lines')}
        tabIndex={0}
        onWheel={event => event.deltaY < 0 && setFollow(false)}
      >
        {shown.length === 0 && !problem && <p className="dodas-Help">{sought ? trans.__('No line has this.') : trans.__('Nothing yet.')}</p>}
        {shown.map(({ instance, line }, at) => (
          <div key={at} dir="auto">
            <span className="dodas-Kind">{instance}</span> {line}
          </div>
        ))}
      </div>
    </section>
  );
}
