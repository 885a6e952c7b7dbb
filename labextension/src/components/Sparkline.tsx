/** A small line of numbers over time, with what it says in words. */

import * as React from 'react';

const WIDTH = 84;
const HEIGHT = 22;

export interface SparklineProps {
  readonly values: readonly number[];
  /** What there is to use: the line comes to the top where all of it is used. */
  readonly most?: number;
  readonly label: string;
}

export function Sparkline({ values, most: whole = 0, label }: SparklineProps): JSX.Element | null {
  if (values.length < 2) {
    return null;
  }
  const most = Math.max(...values, whole, 1e-9);
  const points = values.map((value, at) => `${((at / (values.length - 1)) * WIDTH).toFixed(1)},${(HEIGHT - 1 - (value / most) * (HEIGHT - 2)).toFixed(1)}`);
  return (
    <svg className="dodas-Sparkline" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} width={WIDTH} height={HEIGHT} role="img" aria-label={label}>
      <polyline points={points.join(' ')} fill="none" />
    </svg>
  );
}
