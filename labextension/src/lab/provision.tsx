/** The form for a new infrastructure as a tab. A chunk of its own: most who start Lab do not open it. */

import { MainAreaWidget, ReactWidget } from '@jupyterlab/apputils';
import * as React from 'react';

import { InfrastructureForm } from '../components/InfrastructureForm';
import { ProblemNote } from '../components/texts';
import { problemOf } from '../model/api';
import type { Problem } from '../model/records';
import { icon } from './icon';
import type { IDodas } from './tokens';

/** A form which closes once one is asked for. */
export function provisionTab(dodas: IDodas): MainAreaWidget {
  const content = ReactWidget.create(<LiveForm dodas={dodas} onDone={() => tab.dispose()} />);
  const tab = new MainAreaWidget({ content });
  tab.addClass('dodas-Tab');
  tab.toolbar.hide();
  tab.id = 'jupyter-dodas-infrastructure';
  tab.title.label = dodas.trans.__('New infrastructure');
  tab.title.icon = icon;
  tab.title.closable = true;
  return tab;
}

function LiveForm({ dodas, onDone }: { dodas: IDodas; onDone: () => void }): JSX.Element {
  const { infrastructures: list, trans } = dodas;
  const { templates, clouds, infrastructures } = React.useSyncExternalStore(list.subscribe, list.snapshot);
  const [read, setRead] = React.useState(false);
  const [problem, setProblem] = React.useState<Problem | null>(null);
  React.useEffect(() => {
    list.readChoices().then(
      () => setRead(true),
      (error: unknown) => setProblem(problemOf(error))
    );
  }, [list]);
  if (problem) {
    return <ProblemNote problem={problem} />;
  }
  if (!read) {
    return <p role="status">{trans.__('Opening the form…')}</p>;
  }
  return (
    <InfrastructureForm
      templates={templates}
      clouds={clouds}
      taken={infrastructures.map(({ name }) => name)}
      trans={trans}
      onPlan={(wanted, signal) => list.api.plan(wanted, signal)}
      onCreate={async wanted => {
        await list.create(wanted);
        onDone();
      }}
      onCancel={onDone}
    />
  );
}
