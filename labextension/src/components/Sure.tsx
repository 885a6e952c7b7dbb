/** A button that asks once more, in place. */

import * as React from 'react';

import type { Translator } from '../model/words';

interface SureProps {
  readonly label: string;
  readonly question: string;
  readonly busy: boolean;
  readonly trans: Translator;
  readonly run: (task: () => Promise<unknown> | void) => Promise<boolean>;
  readonly onSure: () => Promise<unknown>;
}

/** A button that asks before it does what cannot be undone. */
export function Sure({ label, question, busy, trans, run, onSure }: SureProps): JSX.Element {
  const [asking, setAsking] = React.useState(false);
  const first = React.useRef<HTMLButtonElement>(null);
  const again = React.useRef<HTMLButtonElement>(null);
  const wasAsking = React.useRef(false);
  // The focus goes along, so that the keyboard does not fall out of the card.
  React.useEffect(() => {
    if (asking !== wasAsking.current) {
      (asking ? again : first).current?.focus();
      wasAsking.current = asking;
    }
  }, [asking]);
  if (!asking) {
    return (
      <button type="button" ref={first} disabled={busy} onClick={() => setAsking(true)}>
        {label}
      </button>
    );
  }
  return (
    <span className="dodas-Sure" role="group" aria-label={question} onKeyDown={event => event.key === 'Escape' && setAsking(false)}>
      <span>{question}</span>
      <button
        type="button"
        ref={again}
        className="dodas-is-strong"
        onClick={() => {
          setAsking(false);
          void run(onSure);
        }}
      >
        {label}
      </button>
      <button type="button" onClick={() => setAsking(false)}>
        {trans.__('No')}
      </button>
    </span>
  );
}
