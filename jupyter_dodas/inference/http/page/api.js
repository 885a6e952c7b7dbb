/** Talks with the server. The token stays in this module's memory: no storage, no cookie, no address. */

let token = '';

/** What was refused: in words, as the server says it. */
export class Refusal extends Error {
  /** @param {number} status @param {{code?: string, message: string, cause?: string, remedy?: string}} said */
  constructor(status, said) {
    super(said.message);
    this.status = status;
    this.code = said.code ?? '';
    this.cause = said.cause ?? '';
    this.remedy = said.remedy ?? '';
  }
}

/** @param {string} given the token to show from now on; empty for none */
export function use(given) {
  token = given.trim().replace(/^Bearer\s+/i, '');
}

/** @returns {boolean} whether somebody gave a token */
export function signed() {
  return token !== '';
}

/**
 * Ask for something.
 * @param {string} method of HTTP
 * @param {string} path below the page's own, so that it also works behind a proxy
 * @param {unknown} body what is sent as JSON, or a FormData
 * @returns {Promise<any>} what came back
 * @throws {Refusal} in words, whatever went wrong
 */
export async function ask(method, path, body = undefined) {
  const headers = { Accept: 'application/json' };
  if (token) headers.Authorization = `Bearer ${token}`;
  const given = document.cookie.split('; ').find(one => one.startsWith('_xsrf='));
  if (given && method !== 'GET') headers['X-XSRFToken'] = decodeURIComponent(given.slice(6)); // Jupyter, where it stands between, wants it back
  const form = body instanceof FormData;
  if (body !== undefined && !form) headers['Content-Type'] = 'application/json';
  let reply;
  try {
    reply = await fetch(path, {
      method, headers, body: form || body === undefined ? body : JSON.stringify(body), cache: 'no-store', redirect: 'error'
    });
  } catch {
    throw new Refusal(0, {
      message: 'The server does not answer', cause: 'It has ended or starts again, or the network is gone.',
      remedy: 'This page tries again every few seconds.'
    });
  }
  const text = await reply.text();
  let said = null;
  try {
    said = text ? JSON.parse(text) : null;
  } catch {
    // Something between this page and the server has answered; its status says enough.
  }
  if (reply.ok) return said;
  throw new Refusal(reply.status, refused(reply.status, said));
}

function refused(status, said) {
  const error = said?.error ?? said?.message;
  if (typeof error === 'string') return { message: error };
  return error ?? { message: `This was refused with status ${status}`, remedy: 'Look into the log of the server.' };
}

/** @param {string[]} parts @returns {string} a path of them, each quoted */
export function path(...parts) {
  return parts.map(encodeURIComponent).join('/');
}
