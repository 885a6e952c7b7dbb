/** What cards of some kinds show beside what all have. The server names a kind's panel; here is what draws it. Loaded when it is shown. */

import * as React from 'react';

import type { Ask } from '../model/endpoint';
import type { Cluster, Kind } from '../model/records';
import type { Translator } from '../model/words';
import type { IDodas } from './tokens';

export interface PanelProps {
  readonly cluster: Cluster;
  readonly dodas: IDodas;
  readonly ask: Ask;
}

interface Panel {
  /** What unfolds it; without a title it always shows. */
  readonly title?: (trans: Translator) => string;
  readonly Content: React.ComponentType<PanelProps>;
}

/** By the name that the server has for them: another kind brings its own by one more line. */
const PANELS: { readonly [name: string]: Panel } = {
  models: { title: trans => trans.__('Models'), Content: React.lazy(async () => ({ default: (await import('./panels/models')).Models })) },
  jobs: { Content: React.lazy(async () => ({ default: (await import('./panels/jobs')).Jobs })) }
};

/** Returns the panel of a cluster; null if its kind has none. */
export function panelOf(cluster: Cluster, kind: Kind, dodas: IDodas, ask: Ask): JSX.Element | null {
  const panel = PANELS[kind.panel ?? ''];
  if (panel === undefined) {
    return null;
  }
  const content = (
    <React.Suspense fallback={<p role="status">{dodas.trans.__('Opening…')}</p>}>
      <panel.Content cluster={cluster} dodas={dodas} ask={ask} />
    </React.Suspense>
  );
  return panel.title ? <Folded title={panel.title(dodas.trans)}>{content}</Folded> : content;
}

function Folded({ title, children }: { title: string; children: React.ReactNode }): JSX.Element {
  const [open, setOpen] = React.useState(false);
  const id = React.useId();
  return (
    <div className="dodas-Folded">
      <button type="button" aria-expanded={open} aria-controls={id} onClick={() => setOpen(!open)}>
        {title}
      </button>
      <div id={id}>{open && children}</div>
    </div>
  );
}
