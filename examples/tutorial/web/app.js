// The tutorial's page. It shows each message with its status, and tells the server of each message that arrives.

import { Pusher as Client } from '/delivery/protocol.js';

const { key, origin } = document.body.dataset;
const list = document.querySelector('#messages');
const template = document.querySelector('#message');

const { hostname, port, protocol } = new URL((origin || location.origin).replace(/^ws/, 'http'));
const forceTLS = protocol === 'https:';
const pusher = new (globalThis.Pusher ?? Client)(key, {
  cluster: 'own', // pusher-js requires a name, although it connects to wsHost
  wsHost: hostname,
  wsPort: port || 80,
  wssPort: port || 443,
  forceTLS,
  enabledTransports: ['ws'],
});

// show adds a message or updates its line. Events may come twice and late, so Delivered is never taken back.
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

// acknowledge tells the server that a message arrived here. The server ignores that of the message's sender.
async function acknowledge(message) {
  const answer = await post(`/conversations/${encodeURIComponent(message.id)}/delivered`, { socket_id: pusher.connection.socket_id ?? '' });
  if (answer.ok && (await answer.text()) === 'ok') show({ ...message, status: 'Delivered' }); // this page gets no event for its own mark
}

// catchUp loads all messages and acknowledges the new ones. It runs after every connection, because events are lost without one.
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
