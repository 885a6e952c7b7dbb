/** What a benchmark found, as a small picture: half of the answers came within so long, by rows in a request, a line for each number of clients. */

import * as React from 'react';

import { type Measurement, short } from '../model/models';
import type { Translator } from '../model/words';

const WIDTH = 220;
const HEIGHT = 84;
const LEFT = 34;
const BOTTOM = 16;

export function BenchmarkPlot({ rows, trans }: { rows: readonly Measurement[]; trans: Translator }): JSX.Element | null {
  const known = rows.filter(({ batch, p50_ms }) => batch > 0 && p50_ms > 0);
  if (known.length < 2) {
    return null;
  }
  const across = axis(known.map(({ batch }) => batch), LEFT + 4, WIDTH - 8);
  const up = axis(known.map(({ p50_ms }) => p50_ms), HEIGHT - BOTTOM - 4, 8);
  const clients = [...new Set(known.map(row => row.clients))].sort((one, other) => one - other);
  const batches = [...new Set(known.map(row => row.batch))].sort((one, other) => one - other);
  const times = known.map(({ p50_ms }) => p50_ms);
  const most = Math.max(...known.map(({ rows_per_second }) => rows_per_second));
  const label = trans.__('Half of the answers came within %1 to %2 ms; at most %3 rows a second', short(Math.min(...times)), short(Math.max(...times)), short(most));
  return (
    <figure className="dodas-Benchmark">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} width={WIDTH} height={HEIGHT} role="img" aria-label={label}>
        {[Math.min(...times), Math.max(...times)].map((time, at) => (
          <text key={at} x={LEFT - 3} y={up(time) + 3} textAnchor="end">
            {short(time)}
          </text>
        ))}
        {batches.map(batch => (
          <text key={batch} x={across(batch)} y={HEIGHT - 3} textAnchor="middle">
            {short(batch)}
          </text>
        ))}
        {clients.map((number, at) => (
          <polyline
            key={number}
            className={`dodas-Line${at % 4}`}
            fill="none"
            points={known
              .filter(row => row.clients === number)
              .sort((one, other) => one.batch - other.batch)
              .map(row => `${across(row.batch).toFixed(1)},${up(row.p50_ms).toFixed(1)}`)
              .join(' ')}
          />
        ))}
      </svg>
      <figcaption>
        {trans.__('ms by rows in a request')}
        {clients.map((number, at) => (
          <span key={number}>
            <i className={`dodas-Line${at % 4}`} aria-hidden="true" /> {trans._n('%1 client', '%1 clients', number)}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}

/** From numbers to places, by powers. */
function axis(values: readonly number[], start: number, end: number): (value: number) => number {
  const low = Math.log(Math.min(...values));
  const span = Math.log(Math.max(...values)) - low;
  return value => (span === 0 ? (start + end) / 2 : start + ((Math.log(value) - low) / span) * (end - start));
}
