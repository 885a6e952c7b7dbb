/** Words for numbers, the same as Python's (`jupyter_dodas.display.words`): how long, how much, how many, and when. */

/** Jupyter's `TranslationBundle`, or anything that translates as it does. */
export interface Translator {
  __(message: string, ...args: (string | number)[]): string;
  _n(one: string, many: string, n: number, ...args: (string | number)[]): string;
}

/** No translation: for pages without a translator. `%1` and so on stand for the arguments; in `_n`, `%1` is the number. */
export const english: Translator = {
  __: (message, ...args) => filled(message, args),
  _n: (one, many, n, ...args) => filled(n === 1 ? one : many, [n, ...args])
};

function filled(message: string, args: (string | number)[]): string {
  return message.replace(/%(\d)/g, (whole, index: string) => String(args[Number(index) - 1] ?? whole));
}

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;

/** A duration, as exact as a reader wants it: `0.4 s`, `12 s`, `1 min 40 s`, `2 h 5 min`. */
export function lasting(seconds: number): string {
  const whole = Math.round(Math.max(0, seconds));
  if (seconds < 9.95) {
    return `${Math.max(0, seconds).toFixed(1)} s`;
  }
  if (whole < MINUTE) {
    return `${whole} s`;
  }
  if (whole < HOUR) {
    return whole < 10 * MINUTE ? two(whole, MINUTE, 'min', 's') : `${Math.floor(whole / MINUTE)} min`;
  }
  const minutes = Math.floor(whole / MINUTE);
  return whole < DAY ? two(minutes, 60, 'h', 'min') : two(Math.floor(minutes / 60), 24, 'd', 'h');
}

function two(amount: number, base: number, large: string, small: string): string {
  const rest = amount % base;
  return `${Math.floor(amount / base)} ${large}${rest ? ` ${rest} ${small}` : ''}`;
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** An amount of memory: `512 MiB`, `1.5 GiB`. */
export function size(bytes: number): string {
  let amount = bytes;
  let unit = 0;
  while (Math.abs(amount) >= 1024 && unit < UNITS.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${amount < 100 ? Math.round(amount * 10) / 10 : Math.round(amount)} ${UNITS[unit]}`;
}

/** A time of day, with the day if it is not within this one: `14:02`, `Mon 14:02`, `2031-05-04 14:02`. */
export function clock(at: number, now: number): string {
  const moment = new Date(at * 1000);
  const time = `${padded(moment.getHours())}:${padded(moment.getMinutes())}`;
  if (moment.toDateString() === new Date(now * 1000).toDateString()) {
    return time;
  }
  if (Math.abs(at - now) < 6 * DAY) {
    return `${moment.toLocaleDateString(undefined, { weekday: 'short' })} ${time}`;
  }
  return `${moment.getFullYear()}-${padded(moment.getMonth() + 1)}-${padded(moment.getDate())} ${time}`;
}

function padded(number: number): string {
  return String(number).padStart(2, '0');
}
