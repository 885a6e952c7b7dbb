/** Elements, made of text and attributes alone: nothing that a job says of itself is ever read as HTML. */

/**
 * @param {string} what name of the element, with classes behind dots: `p.soft`
 * @param {Record<string, unknown>} having attributes; functions are listeners, what is null or false is left out
 * @param {...(Node | string | null | false)} inside what it holds
 * @returns {HTMLElement} the element
 */
export function make(what, having = {}, ...inside) {
  const [name, ...classes] = what.split('.');
  const element = document.createElement(name);
  element.classList.add(...classes);
  for (const [key, value] of Object.entries(having)) {
    if (typeof value === 'function') element.addEventListener(key, value);
    else if (value !== null && value !== false) element.setAttribute(key, value === true ? '' : String(value));
  }
  element.append(...inside.filter(one => one !== null && one !== false));
  return element;
}

const shown = new WeakMap();

/**
 * Draws a part of the page anew if what it shows is another thing. It waits while somebody is being asked there, and the keyboard stays where
 * it is.
 * @param {HTMLElement} part
 * @param {unknown} what it shows
 * @param {() => (Node | false)[]} draw
 */
export function draw(part, what, draw) {
  const text = JSON.stringify(what);
  if (shown.get(part) === text || part.querySelector('[role=group]')) return;
  shown.set(part, text);
  const focused = part.contains(document.activeElement) ? document.activeElement.id : '';
  const scrolled = part.querySelector('.scroll')?.scrollTop ?? 0;
  part.replaceChildren(...draw().filter(Boolean));
  if (scrolled) part.querySelector('.scroll')?.scrollTo(0, scrolled);
  if (focused) (document.getElementById(focused) ?? document.getElementById('main')).focus();
}

/**
 * A button that does something, once at a time; with a question, only after it was answered.
 * @param {string} id
 * @param {string} label
 * @param {{ question?: string, strong?: boolean, name?: string }} how `name` is what a screen reader says
 * @param {() => Promise<void>} act
 * @returns {HTMLElement}
 */
export function button(id, label, { question = '', strong = false, name = '' }, act) {
  const place = make('span.sure', { keydown: event => event.key === 'Escape' && place.role && back() });
  const first = make(strong ? 'button.strong' : 'button', { id, type: 'button', 'aria-label': name || null, click: question ? ask : go }, label);
  place.append(first);
  return place;

  function ask() {
    const no = make('button', { type: 'button', click: back }, 'No');
    place.replaceChildren(make('span', { id: `${id}-asks` }, question), make('button.strong', { type: 'button', click: go }, label), no);
    place.role = 'group';
    place.setAttribute('aria-labelledby', `${id}-asks`);
    no.focus();
  }
  function back() {
    place.replaceChildren(first);
    place.role = null;
    place.removeAttribute('aria-labelledby');
    first.focus();
  }
  async function go() {
    if (first.hasAttribute('aria-disabled')) return;
    if (place.role) back();
    first.setAttribute('aria-disabled', 'true'); // disabled, it would lose the focus
    try {
      await act();
    } finally {
      first.removeAttribute('aria-disabled');
    }
  }
}
