// Events through Laravel Echo.

import { KINDS, privateChannel, userChannel } from './channel.js';

/**
 * A transport over an instance of laravel-echo, with the broadcaster "pusher" or "reverb".
 *
 * It puts a dot before the names of events, because Echo would otherwise prefix them with a namespace of Laravel's.
 * @param {object} echo
 * @param {import('./pusher.js').ChannelOptions} [options] whose functions return names of private channels
 * @returns {import('./delivery.js').Transport}
 */
export function echo(echo, { channel: nameOf = privateChannel, userChannel: userOf = nameOf === privateChannel ? userChannel : null } = {}) {
  const short = (name) => name.replace(/^private-/, ''); // which Echo prepends
  const connection = echo.connector.pusher.connection;
  let hub;

  function join(name, told) {
    const channel = echo.private(short(name));
    channel.subscribed(told);
    for (const kind of KINDS) channel.listen(`.${kind}`, (payload) => hub.event(kind, payload));
  }

  return {
    socket: () => echo.socketId(),

    start(heard) {
      hub = heard;
      const tell = () => hub.state(connection.state === 'connected' ? 'connected' : connection.state === 'unavailable' ? 'unavailable' : 'connecting');
      connection.bind('state_change', tell);
      tell();
      if (userOf) join(userOf(hub.user), hub.mine);
    },

    join: (conversation) => join(nameOf(conversation), () => hub.live(conversation)),
    leave: (conversation) => echo.leave(short(nameOf(conversation))),
    renew() {
      for (const channel of echo.connector.pusher.allChannels()) channel.subscribe(); // which those that work ignore
    },
    stop() {
      if (userOf) echo.leave(short(userOf(hub.user)));
      echo.disconnect();
    },
  };
}
