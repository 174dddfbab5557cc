#!/usr/bin/env bash
# nodemailer's dsn.recipient names the same original recipient for everybody, so delivery reports are about the wrong person.
# Versions: npm nodemailer 10.6.1, smtp-server 3.21.6 as the mail server on loopback.
# Expected: a message to bob and carol has two original recipients, and its delivery reports tell bob's from carol's; the option
# is one for the whole message, so it cannot be meant as the address of one of them.
# Seen: the address goes as ORCPT into each RCPT command, where RFC 3461 wants that recipient's own original address. The mail
# server copies it into "Original-Recipient" of each report, and both say the same: alice. An app that looks there, since
# this field outlives forwarding and "Final-Recipient" does not, marks the wrong person's message as delivered. Without
# the option there is no ORCPT at all. And sendMail resolves, although carol was refused.
# Output seen: dsn.recipient alice: RCPT bob ORCPT rfc822;alice@example.com, RCPT carol ORCPT rfc822;alice@example.com
#              no dsn.recipient: RCPT bob ORCPT none, RCPT carol ORCPT none
#              carol refused: resolved, accepted bob, rejected carol
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts nodemailer@10.6.1 smtp-server@3.21.6 >/dev/null 2>&1
cat >main.js <<'JS'
const nodemailer = require('nodemailer');
const { SMTPServer } = require('smtp-server');

let seen, refused;
const user = (address) => address.split('@')[0];
const server = new SMTPServer({
  authOptional: true,
  disabledCommands: ['STARTTLS'],
  hideDSN: false,
  onRcptTo({ address, dsn }, session, done) {
    seen.push(`RCPT ${user(address)} ORCPT ${dsn?.orcpt ?? 'none'}`);
    done(user(address) === refused ? Object.assign(new Error('5.1.1 no such user'), { responseCode: 550 }) : null);
  },
  onData(stream, session, done) {
    stream.resume().on('end', done);
  },
});
server.listen(0, '127.0.0.1', async () => {
  const client = nodemailer.createTransport({ host: '127.0.0.1', port: server.server.address().port, ignoreTLS: true });
  const send = (dsn) => {
    seen = [];
    return client.sendMail({
      from: 'alice@example.com', to: ['bob@example.org', 'carol@example.org'], text: 'hello',
      dsn: { id: 'm-1', return: 'headers', notify: ['success', 'failure'], ...dsn },
    });
  };
  await send({ recipient: 'alice@example.com' });
  console.log(`dsn.recipient alice: ${seen.join(', ')}`);
  await send({});
  console.log(`no dsn.recipient: ${seen.join(', ')}`);
  refused = 'carol';
  const { accepted, rejected } = await send({});
  console.log(`carol refused: resolved, accepted ${accepted.map(user)}, rejected ${rejected.map(user)}`);
  process.exit(0);
});
JS
timeout 60 node main.js | tee out
diff out - <<'E'
dsn.recipient alice: RCPT bob ORCPT rfc822;alice@example.com, RCPT carol ORCPT rfc822;alice@example.com
no dsn.recipient: RCPT bob ORCPT none, RCPT carol ORCPT none
carol refused: resolved, accepted bob, rejected carol
E
