/** What is used of what may be held, with what a request would take beside it. Nothing where nothing is limited. */

import * as React from 'react';

import { type Row, rows, told } from '../model/quota';
import type { Quota, Share } from '../model/records';
import type { Translator } from '../model/words';

export interface QuotaBarProps {
  readonly quota: Quota;
  /** What a request takes. */
  readonly asked?: Share | undefined;
  readonly trans: Translator;
}

export function QuotaBar({ quota, asked, trans }: QuotaBarProps): JSX.Element | null {
  const limited = rows(quota, asked);
  const main = limited.reduce<Row | undefined>((most, row) => (most === undefined || part(row) > part(most) ? row : most), undefined);
  if (main === undefined) {
    return null;
  }
  const giver = quota.groups.join(', ');
  const passed = limited.filter(row => row.used + row.asked > row.limit);
  // Four amounts are too many for a sidebar: cores and memory, and what is scarcest.
  const shown = limited.filter(row => row.thing === 'cores' || row.thing === 'memory' || row === main || passed.includes(row));
  return (
    <div className="dodas-Quota">
      <div>
        {giver && (
          <>
            <b dir="auto">{giver}</b>{' '}
          </>
        )}
        {shown.map(row => told(row, trans)).join(', ')}
      </div>
      <div
        className={`dodas-Track${passed.length ? ' dodas-is-bad' : ''}`}
        role="meter"
        aria-label={trans.__('Quota used')}
        aria-valuemin={0}
        aria-valuemax={main.limit}
        aria-valuenow={Math.min(main.used + main.asked, main.limit)}
        aria-valuetext={told(main, trans)}
      >
        <i style={{ width: percent(main.used, main) }} />
        {main.asked > 0 && <b style={{ width: percent(Math.min(main.asked, main.limit - main.used), main) }} />}
      </div>
      {asked && passed.length > 0 && (
        <p className="dodas-Help" role="status">
          {passed.some(row => row.asked > row.limit)
            ? trans.__('This is more than you may ever hold: it would be refused.')
            : trans.__('This does not fit beside what runs: it would wait.')}
        </p>
      )}
    </div>
  );
}

function part(row: Row): number {
  return row.limit > 0 ? (row.used + row.asked) / row.limit : 1;
}

function percent(amount: number, { limit }: Row): string {
  return `${limit > 0 ? Math.max(0, Math.min(100, (100 * amount) / limit)) : 100}%`;
}
