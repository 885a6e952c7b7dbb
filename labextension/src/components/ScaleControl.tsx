/** How many workers: a slider and a number, or two bounds between which they follow the work. */

import * as React from 'react';

import type { Bounds, Size } from '../model/records';
import type { Translator } from '../model/words';
import { useSettled } from './hooks';

export interface ScaleControlProps {
  readonly name: string;
  /** Which workers, if it has several groups; empty for its own. */
  readonly group?: string;
  readonly workers: number;
  readonly bounds: Bounds | null;
  /** What the slider offers at the least; a number field takes more. */
  readonly room?: number | undefined;
  readonly disabled: boolean;
  readonly trans: Translator;
  /** Asks for it, and tells whether it was taken. */
  readonly onSize: (size: Size) => Promise<boolean>;
}

/** Milliseconds after the last movement. */
const PAUSE = 400;

export function ScaleControl(props: ScaleControlProps): JSX.Element {
  const { name, group = '', workers, bounds, disabled, trans, onSize } = props;
  /** The same control may stand there for each group: its words say for which. */
  const label = (words: string): string => (group ? trans.__('%1 of %2', words, group) : words);
  const [draft, setDraft] = React.useState<Size | null>(null);
  const { set, flush } = useSettled<Size>(async size => {
    if (!(await onSize(size))) {
      setDraft(null);
    }
  }, PAUSE);
  // What the server says counts again as soon as it says something new.
  React.useEffect(() => setDraft(null), [workers, bounds?.minimum, bounds?.maximum]);

  const choose = (size: Size): void => {
    setDraft(size);
    set(size);
  };
  const shown = draft && 'adapt' in draft ? draft.adapt : draft ? null : bounds;
  const number = draft && 'workers' in draft ? draft.workers : workers;
  const most = Math.max(10, props.room ?? 0, 2 * workers);

  return (
    <div className="dodas-Scale" role="group" aria-label={trans.__('Size of %1', group ? `${name}, ${group}` : name)} onBlur={flush}>
      {shown ? (
        <>
          <span aria-hidden="true">{group || trans.__('Workers')}</span>
          <NumberField label={label(trans.__('Fewest workers'))} value={shown.minimum} disabled={disabled} onNumber={n => choose({ adapt: { minimum: n, maximum: Math.max(1, n, shown.maximum) } })} />
          <span aria-hidden="true">–</span>
          <NumberField label={label(trans.__('Most workers'))} value={shown.maximum} disabled={disabled} onNumber={n => choose({ adapt: { minimum: Math.min(shown.minimum, Math.max(1, n)), maximum: Math.max(1, n) } })} />
          <span className="dodas-Space" />
        </>
      ) : (
        <>
          <span aria-hidden="true">{group || trans.__('Workers')}</span>
          <input
            type="range"
            aria-label={label(trans.__('Workers'))}
            min={0}
            max={most}
            value={Math.min(number, most)}
            disabled={disabled}
            onChange={event => choose({ workers: event.target.valueAsNumber })}
          />
          <NumberField label={label(trans.__('Number of workers'))} value={number} disabled={disabled} onNumber={n => choose({ workers: n })} />
        </>
      )}
      <label title={trans.__('Let the number of workers follow the work')}>
        <input
          type="checkbox"
          checked={shown !== null}
          disabled={disabled}
          onChange={event => choose(event.target.checked ? { adapt: { minimum: 0, maximum: Math.max(10, number) } } : { workers: workers })}
        />
        {trans.__('adapt')}
      </label>
    </div>
  );
}

const MOST = 100_000;

function NumberField(props: { label: string; value: number; disabled: boolean; onNumber: (value: number) => void }): JSX.Element {
  // While somebody writes, the field may be empty for a moment.
  const [text, setText] = React.useState<string | null>(null);
  return (
    <input
      type="number"
      aria-label={props.label}
      min={0}
      max={MOST}
      step={1}
      disabled={props.disabled}
      value={text ?? props.value}
      onChange={event => {
        setText(event.target.value);
        const number = event.target.valueAsNumber;
        if (Number.isInteger(number) && number >= 0 && number <= MOST) {
          props.onNumber(number);
        }
      }}
      onBlur={() => setText(null)}
    />
  );
}
