/** The Python that does what a screen does. */

import type { Json, Options } from './records';

/** Of a line, so that it can be read in a narrow column. */
const WIDTH = 52;

const IMPORT = 'import jupyter_dodas as dodas';

/** What launches a cluster: only what differs from the defaults. */
export function launchCode(kind: string, name: string, options: Options, snippet: string): string {
  const given = Object.entries(options).filter(([option]) => isName(option));
  const odd = Object.fromEntries(Object.entries(options).filter(([option]) => !isName(option)));
  const args = [
    ...(name ? [`name=${literal(name)}`] : []),
    ...given.map(([option, value]) => `${option}=${named(option, value, 1)}`),
    ...(Object.keys(odd).length ? [`**${literal(odd, 1)}`] : [])
  ];
  const call = isName(kind) ? [`dodas.${kind}(`] : ['dodas.launch(', literal(kind)];
  const all = [...call.slice(1), ...args];
  const line = `${call[0]}${all.join(', ')})`;
  const made = line.length <= WIDTH && !line.includes('\n') ? line : `${call[0]}\n${all.map(arg => `    ${arg},\n`).join('')})`;
  return [IMPORT, '', `cluster = ${made}`, ...(snippet ? [snippet] : []), ''].join('\n');
}

/** What goes to work with a cluster that is there: no address, no secret. */
export function connectCode(name: string, snippet: string): string {
  return [IMPORT, '', `cluster = dodas.connect(${literal(name)})`, ...(snippet ? [snippet] : []), ''].join('\n');
}

/** The same, and something for it to do. */
export function exampleCode(name: string, { snippet, example }: { readonly snippet: string; readonly example: string }): string {
  return `${connectCode(name, snippet)}\n${example}\n`;
}

const KEYWORDS = new Set(
  (
    'False None True and as assert async await break class continue def del elif else except finally for from global if import ' +
    'in is lambda nonlocal not or pass raise return try while with yield'
  ).split(' ')
);

function isName(word: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(word) && !KEYWORDS.has(word);
}

/** The value of an option; bounds as the pair that people write. */
function named(option: string, value: Json, depth: number): string {
  if (option === 'adapt' && typeof value === 'object' && value !== null && 'minimum' in value && 'maximum' in value) {
    return literal([value.minimum, value.maximum], depth);
  }
  return literal(value, depth);
}

/** A value as Python writes it. */
export function literal(value: Json, depth = 0): string {
  if (value === null) {
    return 'None';
  }
  switch (typeof value) {
    case 'boolean':
      return value ? 'True' : 'False';
    case 'number':
      return String(value);
    case 'string':
      return quoted(value);
  }
  const [open, close, parts] = Array.isArray(value)
    ? ['[', ']', value.map(item => literal(item as Json, depth + 1))]
    : ['{', '}', Object.entries(value).map(([key, item]) => `${quoted(key)}: ${named(key, item as Json, depth + 1)}`)];
  const line = `${open}${parts.join(', ')}${close}`;
  const indent = '    '.repeat(depth + 1);
  return line.length <= WIDTH ? line : `${open}\n${parts.map(part => `${indent}${part},\n`).join('')}${'    '.repeat(depth)}${close}`;
}

/** In quotes, with everything escaped that is not seen as what it is: control characters, and those that turn the line around. */
function quoted(text: string): string {
  const escaped = JSON.stringify(text).slice(1, -1);
  const plain = escaped.replace(/[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, hidden);
  return `"${plain}"`;
}

function hidden(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
