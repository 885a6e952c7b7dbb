/** Elements, made of text and attributes alone: nothing that a server says is ever read as HTML. */

/**
 * Make an element.
 * @param {string} what its name, with classes behind dots: `p.help`
 * @param {Record<string, unknown>} having attributes; those that begin with `on` are listeners, null and false are left out
 * @param {...(Node | string | null | false | undefined)} inside what it holds
 * @returns {HTMLElement} the element
 */
export function h(what, having = {}, ...inside) {
  const [name, ...classes] = what.split('.');
  const made = document.createElement(name);
  made.classList.add(...classes);
  for (const [key, value] of Object.entries(having)) {
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, '');
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, String(value));
  }
  made.append(...inside.filter(one => one !== null && one !== undefined && one !== false && one !== ''));
  return made;
}

const drawn = new WeakMap();

/**
 * Draw a part of the page anew, if what it shows has changed. Whoever stands in it with the keyboard stays there.
 * @param {Element} where the part
 * @param {unknown} shows what it is drawn from
 * @param {() => Node[]} draw makes what stands in it
 * @param {boolean} patient whether it waits while a question is open there
 */
export function redraw(where, shows, draw, patient = false) {
  const now = JSON.stringify(shows);
  if (drawn.get(where) === now || (patient && where.querySelector('.sure[role]'))) return;
  drawn.set(where, now);
  const active = document.activeElement;
  const held = active && active !== where && where.contains(active) ? active.id : '';
  const open = new Set([...where.querySelectorAll('details[open][id]')].map(one => one.id));
  where.replaceChildren(...draw());
  for (const id of open) document.getElementById(id)?.setAttribute('open', '');
  if (held) (document.getElementById(held) ?? document.getElementById(held.replace(/-(yes|no)$/, '')) ?? where.closest('[tabindex]'))?.focus();
}

/**
 * A button that asks again before it does what cannot be taken back lightly.
 * @param {string} id of the button
 * @param {string} name what stands on it
 * @param {string} question what is asked
 * @param {() => Promise<void>} act what is done
 * @returns {HTMLElement} the button; the question takes its place
 */
export function sure(id, name, question, act) {
  const button = h('button', { id, type: 'button', onclick: ask }, name);
  const place = h('span.sure', { onkeydown: event => { if (event.key === 'Escape' && button.parentNode !== place) back(); } }, button);
  function ask() {
    const yes = h('button.strong', { id: `${id}-yes`, type: 'button', onclick: go }, name);
    const no = h('button', { id: `${id}-no`, type: 'button', onclick: back }, 'Leave it');
    place.replaceChildren(h('span', { id: `${id}-asks` }, question), yes, no);
    place.setAttribute('role', 'group');
    place.setAttribute('aria-labelledby', `${id}-asks`);
    no.focus();
  }
  function back() {
    place.replaceChildren(button);
    place.removeAttribute('role');
    place.removeAttribute('aria-labelledby');
    button.focus();
  }
  async function go() {
    if (!place.hasAttribute('role')) return; // it is under way
    place.removeAttribute('role');
    for (const one of place.querySelectorAll('button')) one.setAttribute('aria-disabled', 'true'); // the focus stays
    try {
      await act();
    } finally {
      if (place.isConnected) back();
    }
  }
  return place;
}

/**
 * A button that copies.
 * @param {string} id of the button
 * @param {string} what named in what is said
 * @param {() => string} text what is copied
 * @param {(words: string) => void} say tells that it is done
 * @returns {HTMLElement} the button
 */
export function copier(id, what, text, say) {
  const copied = async event => {
    const button = event.currentTarget;
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = 'Copied';
      say(`${what} is copied.`);
    } catch {
      button.textContent = 'Select it';
      say('The browser does not let this page copy; select the text instead.');
    }
    setTimeout(() => (button.textContent = 'Copy'), 2000);
  };
  return h('button', { id, type: 'button', 'aria-label': `Copy ${what}`, onclick: copied }, 'Copy');
}
