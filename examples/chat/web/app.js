// The page. It connects the server's events and answers with what the user sees and does.

import { backoff } from '/client/backoff.js';
import { Pusher as OwnPusher } from '/client/pusher.js';
import * as api from './api.js';
import { Conversation } from './conversation.js';
import { Outbox } from './outbox.js';
import * as receipts from './receipts.js';
import { View } from './view.js';

const RETURN_JITTER = 2_000; // ms over which the pages that lost a server spread their return

const config = JSON.parse(document.body.dataset.config);
const conversations = new Map(config.conversations.map((each) => [each.id, new Conversation(each, config.user)]));

// Live events come through the official pusher-js if the server was started with it, or else through the examples' own
// client.
const Pusher = window.Pusher ?? OwnPusher;
const endpoint = new URL(config.pusher.origin.replace(/^ws/, 'http') || location.origin);
const pusher = new Pusher(config.pusher.key, {
  cluster: 'unused', // pusher-js requires a name, although it connects to wsHost
  wsHost: endpoint.hostname,
  wsPort: endpoint.port || 80,
  wssPort: endpoint.port || 443,
  forceTLS: endpoint.protocol === 'https:',
  enabledTransports: ['ws'], // the other transports need other hosts
  channelAuthorization: { endpoint: '/pusher/auth' },
});

const outbox = new Outbox(config.user, conversations, () => pusher.connection.socket_id ?? undefined);

const view = new View(config.user, [...conversations.values()], {
  send: (conversation, body) => outbox.send(conversation, body),
  seen: (conversation, message) => outbox.readUpTo(conversation, message),
  earlier: (conversation) => conversation.loadEarlier(),
  ask: (message, ticks) => receipts.open(message, ticks),
  remove: async (conversation, { id }) => {
    await api.remove({ message: id, socket: pusher.connection.socket_id ?? undefined });
    conversation.deleted(id);
    conversation.sync(); // the event of its own deletion does not reach this page
  },
});

for (const conversation of conversations.values()) {
  conversation.addEventListener('message', ({ detail: message }) => {
    if (message.sender !== config.user && message.own === 'sent') {
      outbox.delivered(conversation, message.id); // it has arrived; the mark causes another change
      return;
    }
    view.showMessage(conversation, message);
    view.showUnread(conversation);
    receipts.refresh(message.id);
  });
  conversation.addEventListener('forgotten', () => {
    view.forget(conversation);
    view.showUnread(conversation);
  });
  conversation.addEventListener('synced', () => view.showSynced(conversation));
  conversation.sync();
  follow(conversation);
}
outbox.resume();

// follow listens to a conversation's channel. Events that were published while the page was away never come, so the page
// asks for the changes after every subscription. Asking before the subscription could miss an event in between.
function follow(conversation) {
  const channel = pusher.subscribe(conversation.channel);
  let subscriptions = 0;
  let refusals = 0;
  channel.bind('pusher:subscription_succeeded', () => {
    refusals = 0;
    conversation.sync(subscriptions++ > 0 ? Math.random() * RETURN_JITTER : 0);
  });
  channel.bind('pusher:subscription_error', ({ status }) => {
    if (status === 401) location.assign('/login');
    else if (status !== 403) setTimeout(() => pusher.subscribe(conversation.channel), backoff(++refusals));
  });
  channel.bind('message', (event) => conversation.onMessage(event));
  channel.bind('status', (event) => conversation.onStatus(event));
  channel.bind('deleted', (event) => conversation.onDeleted(event));
}

// When the connection comes back, the server probably does too.
function showConnection() {
  view.showConnection(pusher.connection.state);
  if (pusher.connection.state !== 'connected') return;
  outbox.hurry();
  for (const conversation of conversations.values()) conversation.hurry();
}
pusher.connection.bind('state_change', showConnection);
showConnection();
