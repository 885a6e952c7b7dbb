/** What components remember. */

import { type RefObject, useCallback, useEffect, useRef, useState } from 'react';

import { problemOf } from '../model/api';
import type { Problem } from '../model/records';

/** Unix seconds, anew every so many seconds; with null it stands still. */
export function useNow(every: number | null): number {
  const [now, setNow] = useState(() => Date.now() / 1000);
  useEffect(() => {
    setNow(Date.now() / 1000);
    if (every === null) {
      return;
    }
    const timer = setInterval(() => setNow(Date.now() / 1000), every * 1000);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

export type Task = () => Promise<unknown> | void;

/** Whether something is under way, what it was refused with, and the function that does it and tells whether it went well. */
export function useTask(): { busy: boolean; refused: Problem | null; run: (task: Task) => Promise<boolean>; forget: () => void } {
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState<Problem | null>(null);
  const mounted = useRef(true);
  useEffect(() => {
    mounted.current = true;
    return () => {
      mounted.current = false;
    };
  }, []);
  const run = useCallback(async (task: Task): Promise<boolean> => {
    setBusy(true);
    setRefused(null);
    try {
      await task();
      return true;
    } catch (error) {
      if (mounted.current) {
        setRefused(problemOf(error));
      }
      return false;
    } finally {
      if (mounted.current) {
        setBusy(false);
      }
    }
  }, []);
  const forget = useCallback(() => setRefused(null), []);
  return { busy, refused, run, forget };
}

/** A function that is called with its last argument, once nobody has called it for so many milliseconds; `flush` does it now. */
export function useSettled<T>(call: (value: T) => void, pause: number): { set: (value: T) => void; flush: () => void } {
  const state = useRef<{ call: (value: T) => void; timer?: ReturnType<typeof setTimeout>; value?: { of: T } }>({ call });
  state.current.call = call;
  const flush = useCallback(() => {
    const { timer, value } = state.current;
    clearTimeout(timer);
    delete state.current.value;
    if (value) {
      state.current.call(value.of);
    }
  }, []);
  const set = useCallback(
    (value: T) => {
      clearTimeout(state.current.timer);
      state.current.value = { of: value };
      state.current.timer = setTimeout(flush, pause);
    },
    [flush, pause]
  );
  // What was chosen counts, also if the card is gone before the pause is over.
  useEffect(() => flush, [flush]);
  return { set, flush };
}

/** Does something now, and every so many seconds while an element can be seen. One is over before the next begins. */
export function useFollowed(place: RefObject<Element>, look: () => Promise<unknown>, every: number): void {
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let over = false;
    const seen = (): boolean => !document.hidden && (place.current?.checkVisibility?.({ contentVisibilityAuto: true }) ?? true);
    const again = async (always: boolean): Promise<void> => {
      if (always || seen()) {
        await look();
      }
      if (!over) {
        timer = setTimeout(() => void again(false), every * 1000);
      }
    };
    void again(true);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [place, look, every]);
}
