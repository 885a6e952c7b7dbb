/** Numbers and states, as people say them. */

export const ENGINES = { litert: 'LiteRT', onnx: 'ONNX Runtime', tensorflow: 'TensorFlow' };

export const FORMATS = {
  'saved-model': 'SavedModel', keras: 'Keras', 'frozen-graph': 'frozen graph', onnx: 'ONNX', tflite: 'TensorFlow Lite'
};

export const STATES = {
  published: ['Published', 'good'], staged: ['Staged', 'busy'], earlier: ['Earlier', 'quiet']
};

/** @param {number} number @param {number} digits @returns {string} with thousands apart */
export function count(number, digits = 0) {
  return number.toLocaleString('en-GB', { maximumFractionDigits: digits });
}

/** @param {number} number @returns {string} two or three digits that matter */
export function brief(number) {
  if (number >= 100) return count(Math.round(number));
  return number === 0 ? '0' : String(Number(number.toPrecision(number >= 10 ? 3 : 2)));
}

/** @param {number} milliseconds @returns {string} in the unit that suits */
export function milliseconds(milliseconds) {
  return milliseconds >= 1000 ? `${brief(milliseconds / 1000)} s` : `${brief(milliseconds)} ms`;
}

/** @param {number} microseconds @returns {string} in the unit that suits */
export function microseconds(microseconds) {
  return microseconds >= 1000 ? milliseconds(microseconds / 1000) : `${brief(microseconds)} µs`;
}

/** @param {number} bytes @returns {string} in the unit that suits */
export function size(bytes) {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let step = 0;
  for (; bytes >= 1024 && step < units.length - 1; step += 1) bytes /= 1024;
  return step ? `${brief(bytes)} ${units[step]}` : `${bytes} bytes`;
}

/** @param {number} seconds @returns {string} how long, roughly */
export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 129600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

/** @param {number} since seconds since 1970 @returns {string} a date and a time, of the reader's zone */
export function moment(since) {
  return new Date(since * 1000).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' });
}

/** @param {number} number @param {string} one @param {string} many @returns {string} `3 versions` */
export function several(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** @param {number} difference @returns {string} `6.0e-8` as 6.0 × 10⁻⁸ */
export function scientific(difference) {
  const [digits, power] = difference.toExponential(1).split('e');
  const raised = [...power.replace('+', '')].map(one => '⁰¹²³⁴⁵⁶⁷⁸⁹'[one] ?? '⁻').join('');
  return `${digits} × 10${raised}`;
}

/**
 * How a version was found to be, in a few sentences.
 * @param {{engine: string, format: string, bytes?: number, check: Record<string, any>}} version as the server tells of it
 * @returns {string[]} the sentences
 */
export function checked({ engine, format, bytes, check }) {
  const served = `${ENGINES[engine] ?? engine} serves it`;
  const from = engine === format || (engine === 'litert' && format === 'tflite') ? 'as it was uploaded' : `made of ${FORMATS[format] ?? format}`;
  const agrees = check.tolerance === 0 ? 'gives the same numbers as' : `agrees within ${scientific(check.tolerance)} with`;
  const takes = [bytes ? `${size(bytes)} on disk` : '', check.memory ? `${size(check.memory)} in memory` : ''].filter(Boolean);
  return [
    engine === 'tensorflow' ? `${served}, as it was uploaded.` : `${served}, ${from}.`,
    check.compared ? `It ${agrees} the original on ${several(check.compared, 'row')}.` : '',
    check.microseconds ? `A row takes ${microseconds(check.microseconds)}.` : '',
    takes.length ? `It takes ${takes.join(' and ')}.` : '',
    check.note ?? ''
  ].filter(Boolean);
}
