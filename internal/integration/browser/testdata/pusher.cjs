// A remote control of pusher-js: node pusher.cjs FILE. Each line of the standard input is a command, [verb, client, ...arguments];
// each line of the standard output is something that a client heard, {client, source, event, data}, where the source is a
// channel's name, "connection" or "user".

const Pusher = require(process.argv[2]);
const clients = new Map();

function listen(emitter, client, source) {
  emitter.bind_global((event, data) => {
    if (data?.error?.target) data = {}; // an error of the WebSocket itself, which is no data
    console.log(JSON.stringify({ client, source, event, data }));
  });
}

const verbs = {
  connect(client, key, options) {
    const pusher = new Pusher(key, options);
    clients.set(client, pusher);
    listen(pusher.connection, client, 'connection');
    listen(pusher.user, client, 'user');
  },
  subscribe(client, name) {
    const channel = clients.get(client).subscribe(name);
    channel.unbind_global(); // of an earlier subscription
    listen(channel, client, name);
  },
  unsubscribe: (client, channel) => clients.get(client).unsubscribe(channel),
  trigger: (client, channel, event, data) => clients.get(client).channel(channel).trigger(event, data),
  signin: (client) => clients.get(client).signin(),
  disconnect: (client) => clients.get(client).disconnect(),
};

require('node:readline')
  .createInterface({ input: process.stdin })
  .on('line', (line) => {
    const [verb, ...rest] = JSON.parse(line);
    verbs[verb](...rest);
  })
  .on('close', () => process.exit());
