// The page. The client of the library keeps the messages, the ticks and the marks right; this shows them.

import { Delivery } from '/delivery/delivery.js';
import { Pusher as OwnPusher } from '/delivery/protocol.js';
import { pusher } from '/delivery/pusher.js';
import { Api } from './api.js';
import { Composer } from './composer.js';
import { Log } from './log.js';
import { Rooms } from './rooms.js';
import { Settings } from './settings.js';
import { drawAvatar } from './text.js';

const config = JSON.parse(document.body.dataset.config);

// Events come through the official pusher-js if the server was started with it, or else through the library's own client.
const Pusher = window.Pusher ?? OwnPusher;
const endpoint = new URL(config.pusher.origin.replace(/^ws/, 'http') || location.origin);
const connection = new Pusher(config.pusher.key, {
  cluster: 'unused', // pusher-js requires a name, although it connects to wsHost
  wsHost: endpoint.hostname,
  wsPort: endpoint.port || 80,
  wssPort: endpoint.port || 443,
  forceTLS: endpoint.protocol === 'https:',
  enabledTransports: ['ws'], // the other transports need other hosts
  channelAuthorization: { endpoint: '/pusher/auth' },
});
const delivery = new Delivery({ user: config.user, transport: pusher(connection) });

const api = new Api(config.user);

const panes = config.conversations.map((each) => {
  const room = delivery.conversation(each.id);
  return { ...each, room, log: new Log(room, config.user, api, each) };
});
const rooms = new Rooms(panes, config.user, api);
const composer = new Composer(config.user, (body) => selected.log.send(body));
for (const { log } of panes) log.onedit = (body) => composer.edit(body);
new Settings(api, config.hideReads);
drawAvatar(document.querySelector('.me .avatar'), config.user);

let selected;
function select() {
  selected = panes.find(({ id }) => [`#${id}`, `#${encodeURIComponent(id)}`].includes(location.hash)) ?? panes[0];
  document.getElementById('title').textContent = selected.title;
  document.getElementById('members').textContent = selected.members.length > 2 ? selected.members.join(', ') : 'Only you two';
  for (const { log } of panes) log.show(log === selected.log);
  rooms.select(selected);
  composer.open(selected.id);
}
addEventListener('hashchange', select);
select();

const WORDS = { connected: '', connecting: 'Connecting…', unavailable: 'Offline. What you write is sent later.' };
function showState() {
  document.body.dataset.connection = delivery.state;
  document.getElementById('connection').textContent = WORDS[delivery.state];
}
delivery.addEventListener('state', showState);
showState();

// Somebody else's session, or none: the page shows nothing more of its user's. What was written stays in the browser.
const guard = document.getElementById('guard');
delivery.addEventListener('user', () => {
  const { stranger } = delivery;
  if (!stranger) return guard.close();
  guard.dataset.stranger = stranger;
  if (!guard.open) guard.showModal();
});
guard.addEventListener('cancel', (event) => event.preventDefault()); // there is nothing behind it to go back to

// The keyboard of an iPhone covers the page without making it smaller.
window.visualViewport?.addEventListener('resize', () => {
  if (visualViewport.scale === 1) document.documentElement.style.setProperty('--height', `${visualViewport.height}px`);
});
