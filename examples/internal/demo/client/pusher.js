// A minimal client of the Pusher Channels protocol, for public and private channels. It has the names and the
// behaviour of those parts of the official pusher-js that the examples use, and can be replaced by it.

import { backoff } from './backoff.js';

const PATIENCE = 10_000; // ms for a connection, and for the answer to a ping

class Emitter {
  #handlers = new Map();

  bind(event, handler) {
    this.#handlers.set(event, [...(this.#handlers.get(event) ?? []), handler]);
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
  state = 'initialized'; // then 'connecting', 'connected', 'unavailable' or, for good, 'failed'
  socket_id = null;

  become(state) {
    const previous = this.state;
    if (state === previous) return;
    this.state = state;
    this.emit('state_change', { previous, current: state });
    this.emit(state);
  }
}

export class Pusher {
  connection = new Connection();
  #url;
  #authEndpoint;
  #channels = new Map();
  #socket = null;
  #failures = 0;
  #retry = 0; // the timer of the next attempt
  #silence = 0; // the timer that ends a silence
  #activityTimeout = 120_000; // ms; the server sets it

  constructor(key, { wsHost, wsPort, wssPort, forceTLS, channelAuthorization }) {
    const origin = forceTLS ? `wss://${wsHost}:${wssPort}` : `ws://${wsHost}:${wsPort}`;
    this.#url = `${origin}/app/${key}?protocol=7&client=chat-example&version=1.0`;
    this.#authEndpoint = channelAuthorization?.endpoint;
    addEventListener('online', () => this.#socket || this.connect());
    this.connect();
  }

  // subscribe returns the channel, and tries again if an earlier subscription has failed.
  subscribe(name) {
    let channel = this.#channels.get(name);
    if (!channel) this.#channels.set(name, (channel = new Channel(name)));
    if (this.connection.state === 'connected') this.#subscribe(channel);
    return channel;
  }

  connect() {
    clearTimeout(this.#retry);
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    if (this.connection.state === 'initialized') this.connection.become('connecting');
    socket.onmessage = ({ data }) => this.#socket === socket && this.#receive(JSON.parse(data));
    socket.onclose = ({ code }) => this.#socket === socket && this.#lost(code);
    this.#expectWord(PATIENCE);
  }

  // lost schedules the next attempt, according to the protocol's close codes.
  #lost(code) {
    clearTimeout(this.#silence);
    this.#socket = null;
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

  // expectWord drops the connection when the server is silent and does not answer a ping.
  #expectWord(silence = this.#activityTimeout) {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      this.#transmit('pusher:ping', {});
      this.#silence = setTimeout(() => {
        this.#socket?.close(); // which may take as long again if the network is down
        this.#lost(1006);
      }, PATIENCE);
    }, silence);
  }

  #transmit(event, data) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ event, data }));
  }

  #receive({ event, channel: name, data }) {
    this.#expectWord();
    if (typeof data === 'string') data = JSON.parse(data); // the protocol encodes it twice
    const channel = this.#channels.get(name);
    switch (event) {
      case 'pusher:connection_established':
        this.#failures = 0;
        this.#activityTimeout = data.activity_timeout * 1000;
        this.connection.socket_id = data.socket_id;
        this.connection.become('connected');
        for (const each of this.#channels.values()) this.#subscribe(each);
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

  // subscribe enters a channel. For one that is not public, the app's server signs that this connection may.
  async #subscribe(channel) {
    if (channel.subscribed || channel.pending) return;
    channel.pending = true;
    const socketID = this.connection.socket_id;
    const entry = { channel: channel.name };
    let status = 0;
    try {
      if (channel.name.startsWith('private-')) {
        const form = new URLSearchParams({ socket_id: socketID, channel_name: channel.name });
        const answer = await fetch(this.#authEndpoint, { method: 'POST', body: form });
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
