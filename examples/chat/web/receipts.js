// The small window that shows who got a message, who read it, and when.

import { clone, drawAvatar, nameOf } from './text.js';

const box = document.getElementById('receipts');
const whenFormat = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit', second: '2-digit' });

let asked = {}; // the message that was asked for last, and its room

/** Opens the window beside the ticks of a message. */
export async function open(room, id, ticks) {
  asked = { room, id };
  await load(asked);
  box.showPopover();
  const at = ticks.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = box;
  const below = at.bottom + 8;
  box.style.left = `${Math.max(8, Math.min(at.right - width, innerWidth - width - 8))}px`;
  box.style.top = `${below + height < innerHeight - 8 ? below : Math.max(8, at.top - height - 8)}px`;
}

/** Redraws the window if it shows that message. */
export function refresh(id) {
  if (id === asked.id && box.matches(':popover-open')) load(asked);
}

async function load(question) {
  const receipts = await question.room.receipts(question.id).catch(() => []); // no answer: nothing to show
  if (question === asked) box.querySelector('ul').replaceChildren(...receipts.map(draw));
}

function draw({ recipient, status, delivered_at, read_at }) {
  const item = clone('receipt');
  item.dataset.recipient = recipient;
  item.dataset.status = status;
  drawAvatar(item.querySelector('.avatar'), recipient);
  item.querySelector('.name').textContent = nameOf(recipient);
  const when = (at) => whenFormat.format(new Date(at));
  const words = {
    sent: () => 'Not on a device yet',
    delivered: () => `Delivered ${when(delivered_at)}, not read yet`,
    read: () => `Read ${when(read_at)}`,
  };
  const line = item.querySelector('.when');
  line.textContent = words[status]();
  if (status === 'read') line.title = `Delivered ${when(delivered_at)}`;
  return item;
}
