#!/usr/bin/env bash
# baunsu takes a mail server's "delivered" for a bounce, and a report on two recipients for the first of them.
# Version: npm baunsu 0.2.3.
# Expected: a delivery status notification says by its Action what happened to each recipient (RFC 3464): "delivered" is a
# delivery receipt, and only "failed" is a bounce.
# Seen: the score counts headers that every notification has, so the success notice that the sender asked for with
# NOTIFY=SUCCESS is bounced, and soft: an app that removes addresses after some bounces removes the ones that work.
# If the report says that bob has the message and carol has not, action and finalRecipient name bob alone.
# Output seen: delivered 2.0.0: bounced true, soft true
#              failed 5.1.1: bounced true, soft false
#              bob delivered, carol failed: action delivered, recipient bob@example.org
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts baunsu@0.2.3 >/dev/null 2>&1
cat >main.js <<'JS'
const Baunsu = require('baunsu');

const recipient = ([user, action, status, answer]) => [
  `Final-Recipient: rfc822; ${user}@example.org`, `Action: ${action}`, `Status: ${status}`,
  'Remote-MTA: dns; mx.example.org', `Diagnostic-Code: smtp; ${answer}`, '',
];
const report = (...recipients) => new Baunsu().detectSync([
  'From: MAILER-DAEMON@mail.example.org', 'To: alice@example.com', 'Subject: Delivery status notification',
  'MIME-Version: 1.0', 'Content-Type: multipart/report; report-type=delivery-status; boundary="b"', '',
  '--b', 'Content-Type: text/plain', '', 'This is what became of your message.', '',
  '--b', 'Content-Type: message/delivery-status', '',
  'Reporting-MTA: dns; mail.example.org', 'Original-Envelope-Id: m-1', '', ...recipients.flatMap(recipient),
  '--b', 'Content-Type: text/rfc822-headers', '', 'Subject: hello', '--b--', '',
].join('\r\n'));

const delivered = ['bob', 'delivered', '2.0.0', '250 2.0.0 stored'];
const failed = ['carol', 'failed', '5.1.1', '550 5.1.1 no such user'];
for (const one of [delivered, failed]) {
  const result = report(one);
  console.log(`${one[1]} ${one[2]}: bounced ${result.bounced}, soft ${result.isSoft()}`);
}
const both = report(delivered, failed);
console.log(`bob delivered, carol failed: action ${both.action}, recipient ${String(both.finalRecipient).trim()}`);
JS
timeout 60 node main.js | tee out
diff out - <<'E'
delivered 2.0.0: bounced true, soft true
failed 5.1.1: bounced true, soft false
bob delivered, carol failed: action delivered, recipient bob@example.org
E
