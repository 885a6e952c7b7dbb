// What the pages do beyond what they can do without this: greet by the hour, and show a start as it goes.
'use strict';

const greeting = document.querySelector('[data-greet]');
if (greeting) {
  const hour = new Date().getHours();
  const time = hour < 5 || hour > 17 ? 'evening' : hour < 12 ? 'morning' : 'afternoon';
  greeting.textContent = `Good ${time}, ${greeting.dataset.greet}`;
}

for (const time of document.querySelectorAll('time[datetime]')) {
  time.textContent = new Date(time.dateTime).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
}

// A page that was reached after a detour can be loaded again: the count of detours is of this one only.
const here = new URL(location.href);
if (here.searchParams.has('redirects')) {
  here.searchParams.delete('redirects');
  history.replaceState({}, '', here);
}

for (const button of document.querySelectorAll('button[data-copy]')) {
  button.hidden = !navigator.clipboard; // it is there over https and on this machine
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = 'Copied';
  });
}

const start = document.querySelector('[data-progress]');
if (start) {
  follow(start);
}

function follow(start) {
  const events = new EventSource(start.dataset.progress);
  events.onmessage = event => {
    const said = JSON.parse(event.data);
    if (said.ready || said.failed) {
      events.close();
      location.reload(); // leads to the server, or says what went wrong
    } else {
      refresh(start);
    }
  };
  events.onerror = () => {
    // A connection that broke is tried again by the browser, one that was refused is not: the hub was away, or knows of no start.
    if (events.readyState === EventSource.CLOSED) {
      setTimeout(reloadOnceThere, 2000);
    }
  };
  setInterval(() => tick(start), 1000);
}

// While the hub is away, what is before it would have a page of its own, which does not look again.
async function reloadOnceThere() {
  const reply = await fetch(location.href, { redirect: 'manual' }).catch(() => null);
  if (reply && (reply.type === 'opaqueredirect' || reply.headers.has('X-JupyterHub-Version'))) {
    location.reload();
  } else {
    setTimeout(reloadOnceThere, 2000);
  }
}

// An event is only a hint: what there is to show, the page itself says.
let asked = Promise.resolve();
function refresh(start) {
  asked = asked.then(async () => {
    const reply = await fetch(location.href, { headers: { 'X-XSRFToken': start.dataset.xsrf }, redirect: 'manual' });
    if (!reply.ok) {
      return reloadOnceThere();
    }
    const page = new DOMParser().parseFromString(await reply.text(), 'text/html');
    for (const id of ['steps', 'said']) {
      const [mine, theirs] = [document.getElementById(id), page.getElementById(id)];
      if (mine && theirs && mine.innerHTML !== theirs.innerHTML) {
        mine.innerHTML = theirs.innerHTML;
      }
    }
    tick(start);
  }).catch(() => {});
}

function tick(start) {
  for (const since of start.querySelectorAll('[data-seconds]')) {
    since.dataset.from ||= String(Date.now() / 1000 - Number(since.dataset.seconds));
    since.textContent = lasting(Date.now() / 1000 - Number(since.dataset.from));
  }
}

function lasting(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min${whole % 60 ? ` ${whole % 60} s` : ''}`;
}
