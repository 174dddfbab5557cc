// Events through Pusher Channels, or a server that speaks its protocol.

import { KINDS, privateChannel, userChannel } from './channel.js';
import { backoff } from './task.js';

/**
 * A transport over an instance of pusher-js, or of the small client in protocol.js.
 *
 * A subscription that failed is tried again, with growing pauses, unless the app's server forbids it. Nothing is
 * concluded from a 401: pusher-js reports one for a working channel if the answer of the auth endpoint was late.
 * @param {object} client
 * @param {import('./pusher.js').ChannelOptions} [options]
 * @returns {import('./delivery.js').Transport}
 */
export function pusher(client, { channel: nameOf = privateChannel, userChannel: userOf = nameOf === privateChannel ? userChannel : null } = {}) {
  const retries = new Map(); // channel → timer
  const leaves = new Map(); // channel → what ends the listening
  let hub;

  function join(name, told) {
    const shared = client.channel(name); // the app uses it as well
    const channel = client.subscribe(name);
    const bound = [];
    const on = (event, handler) => {
      channel.bind(event, handler);
      bound.push([event, handler]);
    };
    leaves.set(name, () => {
      for (const [event, handler] of bound) channel.unbind(event, handler);
      if (!shared) client.unsubscribe(name);
    });
    let failures = 0;
    const live = () => {
      failures = 0;
      told();
    };
    on('pusher:subscription_succeeded', live);
    on('pusher:subscription_error', (error) => {
      if (channel.subscribed || error?.status === 403) return;
      clearTimeout(retries.get(name));
      retries.set(name, setTimeout(() => client.subscribe(name), backoff(++failures)));
    });
    for (const kind of KINDS) on(kind, (payload) => hub.event(kind, payload));
    if (channel.subscribed) live();
  }

  function leave(name) {
    clearTimeout(retries.get(name));
    leaves.get(name)?.();
    leaves.delete(name);
  }

  return {
    socket: () => client.connection.socket_id,

    start(heard) {
      hub = heard;
      client.connection.bind('state_change', ({ current }) => hub.state(words(current)));
      hub.state(words(client.connection.state));
      if (userOf) join(userOf(hub.user), hub.mine);
    },

    join: (conversation) => join(nameOf(conversation), () => hub.live(conversation, client.jitter)),
    leave: (conversation) => leave(nameOf(conversation)),

    // What was forbidden to the user who was there meanwhile is tried again. Nothing happens to a channel that works.
    renew() {
      for (const name of leaves.keys()) client.subscribe(name);
    },

    stop() {
      [...leaves.keys()].forEach(leave);
      client.disconnect();
    },
  };
}

function words(state) {
  if (state === 'connected') return state;
  return ['unavailable', 'failed', 'disconnected'].includes(state) ? 'unavailable' : 'connecting';
}
