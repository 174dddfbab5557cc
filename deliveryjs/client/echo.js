// Events through Laravel Echo.

import { KINDS, privateChannel } from './channel.js';

/**
 * A transport over an instance of laravel-echo, with the broadcaster "pusher" or "reverb".
 *
 * Names start with a dot, or Echo would prefix them with a namespace of Laravel's.
 * @param {object} echo
 * @param {{channel?: (conversation: string) => string}} [options] channel names a conversation's private channel
 * @returns {import('./delivery.js').Transport}
 */
export function echo(echo, { channel: nameOf = privateChannel } = {}) {
  const short = (conversation) => nameOf(conversation).replace(/^private-/, ''); // which Echo prepends
  const connection = echo.connector.pusher.connection;
  let hub;
  return {
    socket: () => echo.socketId(),

    start(heard) {
      hub = heard;
      const tell = () => hub.state(connection.state === 'connected' ? 'connected' : connection.state === 'unavailable' ? 'unavailable' : 'connecting');
      connection.bind('state_change', tell);
      tell();
    },

    join(conversation) {
      const channel = echo.private(short(conversation));
      channel.subscribed(() => hub.live(conversation));
      for (const kind of KINDS) channel.listen(`.${kind}`, (payload) => hub.event(kind, payload));
    },

    leave: (conversation) => echo.leave(short(conversation)),
    stop: () => echo.disconnect(),
  };
}
