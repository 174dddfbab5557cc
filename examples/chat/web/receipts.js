// The window that shows who got a message and who read it, when, and why some show no more than that.

import { openBeside } from './popup.js';
import { clone, describeReceipt, drawAvatar, nameOf } from './text.js';

const PAGE = 50; // recipients in a request
const PATIENCE = 200; // ms in which changes of the message are collected

const box = document.getElementById('receipts');
const list = box.querySelector('ul');
const more = box.querySelector('.more');
const note = box.querySelector('.note');

let asked = {}; // {api, id, open, count}: the message that was asked for last, and how many receipts are shown
let timer;

more.onclick = () => load(asked, asked.count + 1);
box.querySelector('.close').onclick = () => box.hidePopover();

/** Opens the window beside a button. */
export function open(api, { id, total }, button) {
  openBeside(box, button, () => {
    asked = { api, id, open: total === 0, count: 0 };
    return load(asked);
  });
}

/** Redraws the window if it shows that message, which has changed. */
export function refresh(id) {
  if (id === asked.id && box.matches(':popover-open')) timer ??= setTimeout(() => load(asked), PATIENCE);
}

/** Closes the window if it shows that message, which is gone. */
export function close(id) {
  if (id === asked.id) box.hidePopover();
}

// Shows at least that many receipts, if there are as many. It returns whether they are still what is asked for.
async function load(question, count = question.count) {
  timer = clearTimeout(timer);
  const receipts = [];
  let page = { more: true };
  try {
    do {
      page = await question.api.receipts(question.id, { limit: PAGE, ...(page.next && { after: page.next }) });
      receipts.push(...page.receipts);
    } while (page.more && receipts.length < count);
    question.problem = '';
  } catch {
    question.problem = 'This cannot be loaded now. Try again later.';
  }
  if (question !== asked) return false;
  const { problem, open } = question;
  note.textContent = problem || (open ? 'Everybody who may read this conversation gets it. These have got it:' : '');
  if (problem && question.count > 0) return true; // what is shown stays
  question.count = receipts.length;
  list.replaceChildren(...receipts.map(draw));
  if (more === document.activeElement && !page.more) box.focus(); // or Escape would not lead back to the button
  more.hidden = Boolean(problem) || !page.more;
  return true;
}

function draw(receipt) {
  const item = clone('receipt');
  Object.assign(item.dataset, { recipient: receipt.recipient, status: receipt.status });
  drawAvatar(item.querySelector('.avatar'), receipt.recipient);
  item.querySelector('.name').textContent = nameOf(receipt.recipient);
  item.querySelector('.when').textContent = describeReceipt(receipt);
  return item;
}
