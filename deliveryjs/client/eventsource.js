// Events as server-sent events, from the Go package sseadapter.

import { KINDS } from './channel.js';
import { backoff } from './task.js';

const MOST = 50; // conversations that the server takes in a stream

/**
 * A transport over an EventSource. All conversations share one stream, because browsers open only six connections to a
 * host by HTTP/1.1. The stream begins with what the page has missed. It has the 50 conversations that were joined last.
 * @param {string} url of the sseadapter.Handler
 * @param {{silence?: number, withCredentials?: boolean}} [options] silence is how long the stream may be without an
 *   event before it counts as broken, in ms: by default 45 s, which are three heartbeats of the server
 * @returns {import('./delivery.js').Transport}
 */
export function eventSource(url, { silence = 45_000, withCredentials = false } = {}) {
  const joined = new Set();
  let hub;
  let source;
  let socket;
  let failures = 0;
  let timer = 0; // of the next opening
  let watchdog = 0;

  const soon = (delay = 0) => {
    clearTimeout(timer);
    timer = setTimeout(open, delay);
  };
  const close = () => {
    clearTimeout(timer);
    clearTimeout(watchdog);
    source?.close();
    socket = undefined;
  };
  const lost = () => {
    socket = undefined;
    hub.state(++failures > 3 ? 'unavailable' : 'connecting');
  };
  const heard = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => {
      lost();
      open();
    }, silence);
  };

  function open() {
    close();
    if (!joined.size) return;
    const names = [...joined].slice(-MOST);
    const positions = names.map((name) => hub.position(name));
    const epoch = positions.find(Boolean)?.epoch ?? '0';
    const versions = positions.map((p) => (p?.epoch === epoch ? p.version : ''));
    const query = new URLSearchParams(names.map((name) => ['conversation', name]));
    if (positions.some(Boolean)) query.set('since', [epoch, ...versions].join('.'));
    source = new EventSource(`${url}?${query}`, { withCredentials });
    const on = (name, handler) => source.addEventListener(name, ({ data }) => {
      heard();
      handler(JSON.parse(data));
    });
    on('hello', (hello) => {
      failures = 0;
      socket = hello.socket;
      hub.state('connected');
      hub.mine();
      for (const [name, version] of Object.entries(hello.versions)) hub.live(name, undefined, { version, epoch: hello.epoch });
    });
    for (const kind of KINDS) on(kind, (payload) => hub.event(kind, payload));
    on('reset', ({ conversation }) => hub.reset(conversation));
    on('ping', () => {});
    source.onerror = () => {
      lost();
      if (source.readyState === 2) soon(backoff(failures)); // closed for good, as after a 401 or a 503
    };
    heard();
  }

  const listeners = {
    // The browser connects again when the network is back, and not before its own pause is over.
    online: () => source?.readyState !== 1 && soon(),
    // A page in the back/forward cache would keep one of the browser's six connections to the host.
    pagehide: close,
    pageshow: ({ persisted }) => persisted && soon(),
  };

  return {
    socket: () => socket,
    start(it) {
      hub = it;
      for (const [name, handler] of Object.entries(listeners)) globalThis.addEventListener?.(name, handler);
    },
    join(conversation) {
      joined.add(conversation);
      soon();
    },
    leave(conversation) {
      joined.delete(conversation);
      soon();
    },
    renew: () => soon(),
    stop() {
      close();
      for (const [name, handler] of Object.entries(listeners)) globalThis.removeEventListener?.(name, handler);
    },
  };
}
