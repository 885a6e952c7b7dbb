/** What will be created: its machines, what that takes of the quota, and what else is to be known. */

import * as React from 'react';

import type { Plan, QuotaLine } from '../model/infrastructures';
import { exceeded, machineWords, quotaWords, sumWords } from '../model/provision';
import type { Problem } from '../model/records';
import type { Translator } from '../model/words';
import { ProblemNote, Sentence } from './texts';

export interface PlanViewProps {
  /** Null until it is known. */
  readonly plan: Plan | null;
  /** Why it is not. */
  readonly problem: Problem | null;
  /** Whether another one is on its way. */
  readonly busy: boolean;
  readonly trans: Translator;
}

export function PlanView({ plan, problem, busy, trans }: PlanViewProps): JSX.Element {
  return (
    <div className="dodas-Plan" aria-busy={busy}>
      {plan === null && problem === null && <p className="dodas-Help">{trans.__('Looking…')}</p>}
      {problem && <ProblemNote problem={problem} tone="warn" />}
      {plan && !problem && (
        <>
          <p role="status">
            <strong>{sumWords(plan, trans)}</strong>
          </p>
          <ul className="dodas-Machines" aria-label={trans.__('Machines')}>
            {plan.machines.map(machine => {
              const { what, each } = machineWords(machine, trans);
              return (
                <li key={machine.role}>
                  <div>{what}</div>
                  <div className="dodas-Facts">{each.join(', ')}</div>
                </li>
              );
            })}
          </ul>
          {plan.quota.map(line => (
            <QuotaMeter key={line.name} line={line} trans={trans} />
          ))}
          {plan.notes.map(note => (
            <div key={note} className="dodas-Help">
              <Sentence text={note} />
            </div>
          ))}
        </>
      )}
    </div>
  );
}

function QuotaMeter({ line, trans }: { line: QuotaLine; trans: Translator }): JSX.Element {
  const { name, asked, used, limit } = line;
  const words = quotaWords(line, trans);
  const over = exceeded(line);
  const part = (amount: number): string => `${limit ? Math.max(0, Math.min(100, (100 * amount) / limit)) : 100}%`;
  return (
    <div className="dodas-Quota">
      <div>{words}</div>
      {limit !== null && (
        <div
          className={`dodas-Track${over ? ' dodas-is-bad' : ''}`}
          role="meter"
          aria-label={trans.__('Quota of %1', name)}
          aria-valuemin={0}
          aria-valuemax={limit}
          aria-valuenow={Math.min(limit, (used ?? 0) + asked)}
          aria-valuetext={words}
        >
          <i style={{ width: part(used ?? 0) }} />
          <b style={{ width: part(Math.min(asked, limit - (used ?? 0))) }} />
        </div>
      )}
      {over && <p className="dodas-Help">{trans.__('This is more than the cloud lets you have: it would be refused.')}</p>}
    </div>
  );
}
