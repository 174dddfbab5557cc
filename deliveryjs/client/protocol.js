// A small client of the Pusher Channels protocol, for public and private channels.

import { backoff } from './task.js';

const PATIENCE = 10_000; // ms for the answer to a ping, and of the auth endpoint
const CONNECTING = 75_000; // ms for a connection: Firefox holds one back for up to 60 s after failures, and does not say so
const ONLINE = 10_000; // ms after the network came back in which a lost connection was the network's fault

class Emitter {
  #handlers = new Map();

  bind(event, handler) {
    this.#handlers.set(event, [...(this.#handlers.get(event) ?? []), handler]);
    return this;
  }

  unbind(event, handler) {
    this.#handlers.set(event, (this.#handlers.get(event) ?? []).filter((each) => each !== handler));
    return this;
  }

  emit(event, data) {
    for (const handler of this.#handlers.get(event) ?? []) handler(data);
  }
}

class Channel extends Emitter {
  subscribed = false;
  pending = false;

  constructor(name) {
    super();
    this.name = name;
  }
}

class Connection extends Emitter {
  state = 'initialized'; // then 'connecting', 'connected', 'unavailable' or, for good, 'failed' or 'disconnected'
  socket_id = null;

  become(current) {
    const previous = this.state;
    if (current === previous) return;
    this.state = current;
    this.emit('state_change', { previous, current });
  }
}

/**
 * Connects to a Pusher server. It has the names and the behaviour of those parts of pusher-js that transports use, and
 * can be replaced by it. It is gentler on a server that comes back: it reconnects with growing pauses, and then
 * authorizes its channels at random times within 6 s.
 */
export class Pusher {
  connection = new Connection();
  /** The longest wait between a subscription and catching up, in ms. This client waits before it subscribes. */
  jitter = 0;
  #url;
  #auth;
  #spread;
  #channels = new Map();
  #socket = null;
  #connections = 0;
  #failures = 0;
  #retry = 0; // the timer of the next attempt
  #silence = 0; // the timer that ends a silence
  #activityTimeout = 120_000; // ms; the server sets it
  #online = -Infinity; // when the network came back
  #listeners = {
    online: () => {
      this.#online = performance.now();
      if (!this.#socket && this.connection.state !== 'failed') this.connect();
    },
    // In the back/forward cache the socket would stay open, and the server would count the page as one that listens.
    pagehide: () => {
      if (this.connection.state === 'failed') return;
      this.#lost(1001);
      clearTimeout(this.#retry);
    },
    pageshow: ({ persisted }) => persisted && this.#listeners.online(),
  };

  /**
   * @param {string} key of the app
   * @param {import('./protocol.js').PusherOptions} options as pusher-js has them
   */
  constructor(key, { wsHost, wsPort = 80, wssPort = 443, forceTLS = true, channelAuthorization = {}, spread = 6_000 }) {
    const origin = forceTLS ? `wss://${wsHost}:${wssPort}` : `ws://${wsHost}:${wsPort}`;
    this.#url = `${origin}/app/${key}?protocol=7&client=delivery&version=1.0`;
    this.#auth = channelAuthorization;
    this.#spread = spread;
    for (const [name, handler] of Object.entries(this.#listeners)) globalThis.addEventListener?.(name, handler);
    this.connect();
  }

  /** Returns the channel, or undefined if there was no subscribe. */
  channel(name) {
    return this.#channels.get(name);
  }

  /** Subscribes to the channel and returns it, or tries again if an earlier subscription has failed. */
  subscribe(name) {
    let channel = this.#channels.get(name);
    if (!channel) this.#channels.set(name, (channel = new Channel(name)));
    if (this.connection.state === 'connected') this.#subscribe(channel);
    return channel;
  }

  unsubscribe(name) {
    if (this.#channels.delete(name)) this.#transmit('pusher:unsubscribe', { channel: name });
  }

  disconnect() {
    for (const [name, handler] of Object.entries(this.#listeners)) globalThis.removeEventListener?.(name, handler);
    clearTimeout(this.#retry);
    this.#lost(4000);
    this.connection.become('disconnected');
  }

  connect() {
    clearTimeout(this.#retry);
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    if (this.connection.state === 'initialized') this.connection.become('connecting');
    socket.onmessage = ({ data }) => this.#socket === socket && this.#receive(JSON.parse(data));
    socket.onclose = ({ code }) => this.#socket === socket && this.#lost(code);
    this.#expect(CONNECTING);
  }

  // Schedules the next attempt, according to the protocol's close codes.
  #lost(code) {
    clearTimeout(this.#silence);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(); // which may take long if the network is down
    this.connection.socket_id = null;
    for (const channel of this.#channels.values()) channel.subscribed = channel.pending = false;
    if (code >= 4000 && code < 4100) {
      this.connection.become('failed');
      return;
    }
    const wait = code >= 4200 && code < 4300 && this.#failures === 0 ? 0 : backoff(this.#failures + 1);
    this.#failures++;
    this.#retry = setTimeout(() => this.connect(), wait);
    this.connection.become(this.#failures > 3 ? 'unavailable' : 'connecting');
  }

  // Drops the connection when the server is silent, and does not answer a ping.
  #expect(silence = this.#activityTimeout) {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      if (!this.#transmit('pusher:ping', {})) return this.#lost(1006);
      this.#silence = setTimeout(() => this.#lost(1006), PATIENCE);
    }, silence);
  }

  #transmit(event, data) {
    if (this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify({ event, data }));
    return true;
  }

  #receive({ event, channel: name, data }) {
    this.#expect();
    if (typeof data === 'string') data = JSON.parse(data); // the protocol encodes it twice
    const channel = this.#channels.get(name);
    switch (event) {
      case 'pusher:connection_established':
        this.#failures = 0;
        this.#connections++;
        this.#activityTimeout = data.activity_timeout * 1000;
        this.connection.socket_id = data.socket_id;
        this.connection.become('connected');
        for (const each of this.#channels.values()) this.#subscribe(each, this.#connections > 1);
        break;
      case 'pusher:ping':
        this.#transmit('pusher:pong', {});
        break;
      case 'pusher_internal:subscription_succeeded':
        if (!channel) break;
        channel.subscribed = true;
        channel.pending = false;
        channel.emit('pusher:subscription_succeeded', data);
        break;
      case 'pusher:subscription_error':
        if (channel) channel.pending = false;
        channel?.emit(event, data);
        break;
      default:
        channel?.emit(event, data);
    }
  }

  // Enters a channel. For one that is not public, the app's server signs that this connection may. After a reconnection
  // the pages that lost the same server wait for a random time first, unless it was the page's own network.
  async #subscribe(channel, again = false) {
    if (channel.subscribed || channel.pending) return;
    channel.pending = true;
    const socketID = this.connection.socket_id;
    const entry = { channel: channel.name };
    let status = 0;
    try {
      if (again && performance.now() - this.#online > ONLINE) await new Promise((done) => setTimeout(done, Math.random() * this.#spread));
      if (socketID === this.connection.socket_id && channel.name.startsWith('private-')) {
        const { endpoint, headers, params } = this.#auth;
        const body = new URLSearchParams({ ...params, socket_id: socketID, channel_name: channel.name });
        const answer = await fetch(endpoint, { method: 'POST', headers, body, signal: AbortSignal.timeout(PATIENCE) });
        status = answer.status;
        if (status !== 200) throw new Error(`authorization answered ${status}`);
        entry.auth = (await answer.json()).auth;
      }
      if (socketID === this.connection.socket_id) this.#transmit('pusher:subscribe', entry);
    } catch (error) {
      if (socketID !== this.connection.socket_id) return; // there is a new connection by now
      channel.pending = false;
      channel.emit('pusher:subscription_error', { type: 'AuthError', error: error.message, status });
    }
  }
}
