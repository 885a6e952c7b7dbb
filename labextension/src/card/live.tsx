/** A cluster below a cell, drawn from the traits of its widget; what is asked of it goes through the kernel. */

import * as React from 'react';

import { type ClusterActions, ClusterCard } from '../components/ClusterCard';
import { LogView } from '../components/LogView';
import { connectCode } from '../model/python';
import type { Change, Cluster, Json, Kind, LogLine } from '../model/records';
import { report } from '../model/view';
import type { Translator } from '../model/words';
import type { Kernel, Model } from './host';

export interface LiveCardProps {
  readonly model: Model;
  readonly kernel: Kernel;
  readonly trans: Translator;
}

/** A trait, as it is now. */
export function useTrait<T>(model: Model, trait: string): T {
  const subscribe = React.useCallback(
    (listener: () => void) => {
      model.on(`change:${trait}`, listener);
      return () => model.off(`change:${trait}`, listener);
    },
    [model, trait]
  );
  return React.useSyncExternalStore(subscribe, () => model.get(trait)) as T;
}

export function LiveCard({ model, kernel, trans }: LiveCardProps): JSX.Element | null {
  const cluster = useTrait<Cluster>(model, 'record');
  const title = useTrait<string>(model, 'title');
  const snippet = useTrait<string>(model, 'snippet');
  const [logs, setLogs] = React.useState(false);
  const actions = React.useMemo<ClusterActions>(
    () => ({
      change: (_, change: Change) => kernel.ask('change', change as Json),
      stop: () => kernel.ask('stop'),
      code: ({ name }) => connectCode(name, snippet),
      logs: () => setLogs(shown => !shown),
      // Elsewhere than at a secure address there is none.
      ...(navigator.clipboard && { copyReport: of => navigator.clipboard.writeText(report(of, Date.now() / 1000)) })
    }),
    [kernel, snippet]
  );
  const open = React.useCallback((_: string, signal: AbortSignal) => lines(kernel, signal), [kernel]);
  const kind: Kind = { kind: cluster.spec.kind, title, summary: '', worker: '', snippet, example: '', options: {} };
  return (
    <>
      <ClusterCard cluster={cluster} kind={kind} actions={actions} trans={trans} />
      <Busy kernel={kernel} trans={trans} />
      {logs && <LogView cluster={cluster} open={open} trans={trans} />}
    </>
  );
}

/** Why nothing happens, where it does not. */
export function Busy({ kernel, trans }: { kernel: Kernel; trans: Translator }): JSX.Element {
  const busy = React.useSyncExternalStore(kernel.subscribe, kernel.busy);
  return (
    <p className="dodas-Help dodas-Busy" role="status">
      {busy && trans.__('The kernel is busy. It does this once the cell that runs has ended.')}
    </p>
  );
}

/** What the kernel says of logs, until it has ended or `signal` says so. */
async function* lines(kernel: Kernel, signal: AbortSignal): AsyncGenerator<readonly LogLine[]> {
  let said: LogLine[] = [];
  let ended = false;
  let wake = (): void => undefined;
  const done = kernel.ask(
    'logs',
    null,
    more => {
      said.push(...(more as readonly LogLine[]));
      wake();
    },
    signal
  );
  const end = (): void => {
    ended = true;
    wake();
  };
  done.then(end, end);
  for (;;) {
    if (said.length) {
      const some = said;
      said = [];
      yield some;
    } else if (ended) {
      return done;
    } else {
      await new Promise<void>(resolve => {
        wake = resolve;
      });
    }
  }
}
