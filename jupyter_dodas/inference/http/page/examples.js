/** The request of the form, to be made elsewhere. The token is never in it: only the name of the variable that holds it. */

/**
 * Write a request for the shell.
 * @param {string} base where the server is, with a slash at its end; or a variable that says so
 * @param {{path: string, json?: any, picture?: File | null}} asked what is asked
 * @param {string} model its name
 * @param {boolean} needs whether a token is needed
 * @returns {string} a command
 */
export function curl(base, asked, model, needs) {
  const lines = [`curl -sS "${base}${asked.path}"`];
  if (needs) lines.push('-H "Authorization: Bearer $TOKEN"');
  if (asked.picture === undefined) {
    lines.push("-H 'Content-Type: application/json'", `-d '${written(asked.json).replaceAll("'", "'\\''")}'`);
  } else {
    lines.push(`-F model=${model}`, `-F 'image=@${(asked.picture?.name ?? 'picture.png').replaceAll("'", "'\\''")}'`);
  }
  return lines.join(' \\\n  ');
}

/**
 * Write a request in Python.
 * @param {string} base where the server is, with a slash at its end; or a variable that says so
 * @param {{path: string, json?: any, picture?: File | null}} asked what is asked
 * @param {string} model its name
 * @param {boolean} needs whether a token is needed
 * @returns {string} a script
 */
export function python(base, asked, model, needs) {
  const variable = base.startsWith('$');
  const url = variable ? `os.environ["${base.replace(/\W/g, '')}"] + ${literal(`/${asked.path}`)}` : literal(base + asked.path);
  const lines = [...(needs || variable ? ['import os', ''] : []), 'import httpx', '', 'reply = httpx.post(', `    ${url},`];
  if (needs) lines.push('    headers={"Authorization": f"Bearer {os.environ[\'TOKEN\']}"},');
  if (asked.picture === undefined) {
    const entries = Object.entries(asked.json).map(([name, one]) => `        ${literal(name)}: ${literal(one)},`);
    lines.push('    json={', ...entries, '    },');
  } else {
    lines.push(`    data={"model": ${literal(model)}},`, `    files={"image": open(${literal(asked.picture?.name ?? 'picture.png')}, "rb")},`);
  }
  return [...lines, ')', 'reply.raise_for_status()', 'print(reply.json())'].join('\n');
}

/** JSON with room between, so that it can be read and broken. */
function written(value) {
  if (Array.isArray(value)) return `[${value.map(written).join(', ')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${written(one)}`).join(', ')}}`;
}

/** The same in Python: three words differ. */
function literal(value) {
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  if (value === null || typeof value === 'boolean') return { null: 'None', true: 'True', false: 'False' }[value];
  if (typeof value !== 'object') return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, one]) => `${literal(name)}: ${literal(one)}`).join(', ')}}`;
}
