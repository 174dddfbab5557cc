// The small window that shows who got a message, who read it, and when.

import * as api from './api.js';
import { clone, drawAvatar } from './view.js';

const box = document.getElementById('receipts');
const whenFormat = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit', second: '2-digit' });

let asked = null; // the id of the message that was asked for last

// open opens the window beside the ticks of a message.
export async function open(message, ticks) {
  asked = message;
  await load(message);
  box.showPopover();
  const at = ticks.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = box;
  const below = at.bottom + 8;
  box.style.left = `${Math.max(8, Math.min(at.right - width, innerWidth - width - 8))}px`;
  box.style.top = `${below + height < innerHeight - 8 ? below : at.top - height - 8}px`;
}

// refresh redraws the window if it shows that message.
export function refresh(message) {
  if (message === asked && box.matches(':popover-open')) load(message);
}

async function load(message) {
  const receipts = await api.receipts(message).catch(() => []); // no answer: nothing to show
  if (message === asked) box.querySelector('ul').replaceChildren(...receipts.map(draw));
}

function draw({ recipient, status, delivered_at, read_at }) {
  const item = clone('receipt');
  item.dataset.recipient = recipient;
  item.dataset.status = status;
  drawAvatar(item.querySelector('.avatar'), recipient);
  item.querySelector('.name').textContent = recipient;
  const when = (at) => whenFormat.format(new Date(at));
  const words = { sent: () => 'Not yet', delivered: () => `Delivered ${when(delivered_at)}`, read: () => `Read ${when(read_at)}` };
  const line = item.querySelector('.when');
  line.textContent = words[status]();
  if (status === 'read') line.title = `Delivered ${when(delivered_at)}`;
  return item;
}
