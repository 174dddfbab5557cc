// One stream for all tabs of a user.

/**
 * A transport that tabs share, so that they need one connection together. The tab that holds a Web Lock has the stream,
 * and passes the events to the others through a BroadcastChannel. When that tab is closed, another one opens the stream,
 * and each catches up if it is behind. Where a browser has no Web Locks, as on pages that came by plain HTTP, each tab
 * opens a stream of its own.
 *
 * Every tab gets every event, also those of its own changes, because no tab has a connection that the server could leave
 * out. The client knows its own messages and marks by their ids.
 * @param {string} name of the stream in this origin. It must contain the user: tabs of the same name hear the same
 * @param {() => import('./delivery.js').Transport} open returns the transport that is shared
 * @returns {import('./delivery.js').Transport}
 */
export function shared(name, open) {
  if (!globalThis.navigator?.locks) return open();
  const key = `delivery/stream/${name}`;
  const tab = Math.random().toString(36).slice(2);
  const joined = new Set();
  const followers = new Map(); // in the tab that has the stream: the tabs that follow each conversation
  const ended = new AbortController();
  let hub;
  let channel;
  let stream; // only in the tab that has it
  let state = 'connecting'; // of the stream
  let release = () => {}; // the lock
  let turn; // ends the waiting for it

  // All tabs hear what is posted, this one too.
  const post = (message) => {
    channel.postMessage(message);
    hear(message);
  };
  const join = (id) => post({ join: id, of: tab });
  const leave = (id) => post({ leave: id, of: tab });

  function hear({ tell, args, to = tab, lead, renew, join: joining, leave: leaving, of }) {
    if (tell && to === tab) {
      const id = tell === 'event' ? args[1].conversation : args[0];
      if (tell === 'state' || tell === 'mine' || joined.has(id)) hub[tell](...args);
    }
    if (lead) joined.forEach(join);
    if (renew) stream?.renew?.();
    if (joining && stream) follow(joining, of);
    if (leaving && stream) unfollow(leaving, of);
  }

  function follow(id, to) {
    post({ tell: 'state', args: [state], to });
    const tabs = followers.get(id);
    if (tabs) {
      tabs.add(to);
      post({ tell: 'live', args: [id, 0], to });
    } else {
      followers.set(id, new Set([to]));
      stream.join(id);
    }
  }

  function unfollow(id, from) {
    const tabs = followers.get(id);
    tabs?.delete(from);
    if (tabs?.size === 0 && followers.delete(id)) stream.leave(id);
  }

  function lead() {
    const tell = (name) => (...args) => post({ tell: name, args });
    stream = open();
    stream.start({
      user: hub.user,
      event: tell('event'),
      live: tell('live'),
      reset: tell('reset'),
      mine: tell('mine'),
      position() {}, // each tab has its own, so the stream begins at the present, and tabs that are behind catch up
      state(now) {
        state = now;
        post({ tell: 'state', args: [now] });
      },
    });
    post({ lead: true }); // the tabs join again what they follow
    return new Promise((resolve) => {
      release = resolve;
    });
  }

  // Tabs get the lock one after another.
  function queue() {
    turn = new AbortController();
    navigator.locks.request(key, { signal: turn.signal }, lead).catch(() => {}); // stepped back before
  }

  // Another tab is next. A page in the back/forward cache must neither have the lock nor wait for it.
  function stepBack() {
    joined.forEach(leave);
    turn.abort();
    stream?.stop?.();
    stream = undefined;
    followers.clear();
    release();
  }

  return {
    socket() {},

    start(it) {
      hub = it;
      channel = new BroadcastChannel(key);
      channel.onmessage = ({ data }) => hear(data);
      queue();
      const on = (name, handler) => addEventListener(name, handler, { signal: ended.signal });
      on('pagehide', stepBack);
      on('pageshow', ({ persisted }) => {
        if (!persisted) return;
        queue();
        joined.forEach(join);
      });
    },

    join(id) {
      joined.add(id);
      join(id);
    },

    leave(id) {
      joined.delete(id);
      leave(id);
    },

    renew: () => post({ renew: true }),

    stop() {
      stepBack();
      ended.abort();
      channel.close();
    },
  };
}
