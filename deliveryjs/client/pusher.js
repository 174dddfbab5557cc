// Events through Pusher Channels, or a server that speaks its protocol.

import { KINDS, privateChannel } from './channel.js';
import { backoff } from './task.js';

/**
 * A transport over an instance of pusher-js, or of the small client in protocol.js.
 *
 * A subscription that failed is tried again, with growing pauses, unless the app's server forbids it. Nothing is
 * concluded from a 401: pusher-js reports one for a working channel if the answer of the auth endpoint was late.
 * @param {object} client
 * @param {{channel?: (conversation: string) => string}} [options] channel names a conversation's channel
 * @returns {import('./delivery.js').Transport}
 */
export function pusher(client, { channel: nameOf = privateChannel } = {}) {
  const retries = new Map(); // conversation → timer
  const leaves = new Map(); // conversation → what ends the listening
  let hub;
  return {
    socket: () => client.connection.socket_id,

    start(heard) {
      hub = heard;
      client.connection.bind('state_change', ({ current }) => hub.state(words(current)));
      hub.state(words(client.connection.state));
    },

    join(conversation) {
      const shared = client.channel(nameOf(conversation)); // the app uses it as well
      const channel = client.subscribe(nameOf(conversation));
      const bound = [];
      const on = (name, handler) => {
        channel.bind(name, handler);
        bound.push([name, handler]);
      };
      leaves.set(conversation, () => {
        for (const [name, handler] of bound) channel.unbind(name, handler);
        if (!shared) client.unsubscribe(channel.name);
      });
      let failures = 0;
      const live = () => {
        failures = 0;
        hub.live(conversation, client.jitter);
      };
      on('pusher:subscription_succeeded', live);
      on('pusher:subscription_error', (error) => {
        if (channel.subscribed || error?.status === 403) return;
        clearTimeout(retries.get(conversation));
        retries.set(conversation, setTimeout(() => client.subscribe(channel.name), backoff(++failures)));
      });
      for (const kind of KINDS) on(kind, (payload) => hub.event(kind, payload));
      if (channel.subscribed) live();
    },

    leave(conversation) {
      clearTimeout(retries.get(conversation));
      leaves.get(conversation)?.();
      leaves.delete(conversation);
    },

    stop() {
      client.disconnect();
    },
  };
}

function words(state) {
  if (state === 'connected') return state;
  return ['unavailable', 'failed', 'disconnected'].includes(state) ? 'unavailable' : 'connecting';
}
