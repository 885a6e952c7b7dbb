/** The queue of a pool, read through Jupyter Server while somebody can see it. */

import * as React from 'react';

import { useFollowed } from '../../components/hooks';
import { JobQueue } from '../../components/JobQueue';
import { problemOf } from '../../model/api';
import { poolOf, type Queue } from '../../model/jobs';
import type { Problem } from '../../model/records';
import type { PanelProps } from '../panels';

const PAGE = 'page';

/** Seconds. A pool tells the controller how many workers it could use, and not of each job, so no event says that its queue has changed. */
const EVERY = 3;

export function Jobs({ cluster, dodas, ask }: PanelProps): JSX.Element {
  const { name } = cluster;
  const [queue, setQueue] = React.useState<Queue | null>(null);
  const [problem, setProblem] = React.useState<Problem | null>(null);
  const place = React.useRef<HTMLDivElement>(null);
  const pool = React.useMemo(() => poolOf((path, init) => ask(name, PAGE, path, init)), [ask, name]);
  const look = React.useCallback(async (): Promise<void> => {
    try {
      setQueue(await pool.look());
      setProblem(null);
    } catch (error) {
      setProblem(problemOf(error));
    }
  }, [pool]);
  useFollowed(place, look, EVERY);
  return (
    <div ref={place}>
      <JobQueue
        queue={queue}
        problem={problem}
        trans={dodas.trans}
        onOpen={() => dodas.dashboard(name, PAGE)}
        onRelease={async (hold, memory) => {
          await pool.release(hold, memory);
          await look();
        }}
        onRemove={async hold => {
          await pool.remove(hold);
          await look();
        }}
      />
    </div>
  );
}
