/** The form for a new cluster below a cell. It becomes the card of what was launched. */

import * as React from 'react';

import { LaunchForm } from '../components/LaunchForm';
import type { Cluster, Kind, Options, Quota } from '../model/records';
import { english } from '../model/words';
import type { Kernel, Model } from './host';
import { Busy, LiveCard, useTrait } from './live';

export function Launcher({ model, kernel }: { model: Model; kernel: Kernel }): JSX.Element {
  const cluster = useTrait<Partial<Cluster>>(model, 'record');
  const kinds = useTrait<readonly Kind[]>(model, 'kinds');
  const kind = useTrait<string>(model, 'kind');
  const quota = useTrait<Quota>(model, 'quota');
  if (cluster.name !== undefined) {
    return <LiveCard model={model} kernel={kernel} trans={english} />;
  }
  const launch = (of: string, name: string, options: Options): Promise<void> =>
    kernel.ask('launch', { kind: of, ...(name && { name }), options });
  return (
    <>
      <LaunchForm
        kinds={kinds}
        kind={kind}
        quota={quota}
        remembered={() => undefined}
        trans={english}
        onLaunch={launch}
        onCopy={code => navigator.clipboard?.writeText(code)}
      />
      <Busy kernel={kernel} trans={english} />
    </>
  );
}
