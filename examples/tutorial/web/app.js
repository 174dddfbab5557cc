// The tutorial's page: it shows each message and its status, and says of each that arrives that it did.

import { Pusher as Client } from '/client/pusher.js';

const { key, origin } = document.body.dataset;
const list = document.querySelector('#messages');
const template = document.querySelector('#message');

const { hostname, port, protocol } = new URL((origin || location.origin).replace(/^ws/, 'http'));
const forceTLS = protocol === 'https:';
const pusher = new (globalThis.Pusher ?? Client)(key, {
  cluster: 'own', // pusher-js insists on one, and then uses the host
  wsHost: hostname,
  wsPort: port || 80,
  wssPort: port || 443,
  forceTLS,
  enabledTransports: ['ws'],
});

// show adds a message or renews its line. Events may come twice and late: Delivered stays.
function show({ id, name, message, status }) {
  let line = list.querySelector(`[data-id="${CSS.escape(id)}"]`);
  if (!line) {
    line = template.content.firstElementChild.cloneNode(true);
    line.dataset.id = id;
    line.querySelector('b').textContent = name;
    line.querySelector('span').textContent = message;
    list.append(line);
  }
  if (line.dataset.status === 'Delivered') return;
  line.dataset.status = status;
  line.querySelector('i').textContent = status;
}

const post = (path, form) => fetch(path, { method: 'POST', body: new URLSearchParams(form) });

// acknowledge says that a message arrived here. The server knows who sent it, and takes no such word from them.
async function acknowledge(message) {
  const answer = await post(`/conversations/${encodeURIComponent(message.id)}/delivered`, { socket_id: pusher.connection.socket_id ?? '' });
  if (answer.ok && (await answer.text()) === 'ok') show({ ...message, status: 'Delivered' }); // this page gets no event of its own mark
}

// catchUp loads what is there, and acknowledges what was not: after every connection, since events get lost without one.
async function catchUp() {
  const messages = await (await fetch('/conversations')).json();
  for (const message of messages) {
    show(message);
    if (message.status === 'Sent') acknowledge(message);
  }
}

const channel = pusher.subscribe('a_channel');
channel.bind('an_event', (message) => {
  show(message);
  acknowledge(message);
});
channel.bind('delivered_message', show);
channel.bind('pusher:subscription_succeeded', catchUp);

document.querySelector('#composer').addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = event.target;
  const answer = await post('/conversation', { message: form.message.value });
  if (!answer.ok) return;
  show(await answer.json());
  form.reset();
});
