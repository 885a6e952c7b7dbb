/** Small pieces of text that several components show. */

import * as React from 'react';

import type { Problem } from '../model/records';
import type { Mark } from '../model/view';

/** A shape in the colour of its tone. Whatever it means is said in words beside it. */
export function Shape({ mark }: { mark: Mark }): JSX.Element {
  return (
    <span className={`dodas-Shape dodas-is-${mark.tone}`} aria-hidden="true">
      {mark.shape}
    </span>
  );
}

/** A sentence, with what stands between backticks as code. */
export function Sentence({ text }: { text: string }): JSX.Element | null {
  if (text === '') {
    return null;
  }
  // What stands at an odd place was between backticks.
  const parts = text.split(/`([^`]+)`/);
  return (
    <p dir="auto">
      {parts.map((part, at) => (at % 2 ? <code key={at}>{part}</code> : part))}
    </p>
  );
}

/** What happened, why, and what to do; the remedy as buttons where one can press it. */
export function ProblemNote({ problem, tone = 'bad', children }: { problem: Problem; tone?: 'warn' | 'bad'; children?: React.ReactNode }): JSX.Element {
  return (
    <div className={`dodas-Note dodas-is-${tone}`} role="alert">
      <p dir="auto">
        <strong>{problem.message}</strong>
      </p>
      {/* A cause of several lines is what a process said. */}
      {problem.cause.includes('\n') ? (
        <pre tabIndex={0} dir="auto">
          {problem.cause}
        </pre>
      ) : (
        <Sentence text={problem.cause} />
      )}
      <Sentence text={problem.remedy} />
      {children && <div className="dodas-Actions">{children}</div>}
    </div>
  );
}
