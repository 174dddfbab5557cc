// What can be done with a conversation in the list: mark it as unread, or what is unread in it as read or as dismissed.

import { openBeside } from './popup.js';

const box = document.getElementById('actions');

/** The newest message that the user may mark. */
const newest = (room) => room.sorted().findLast(({ own }) => own);

/** The newest message that is stored, whoever sent it. */
const last = (room) => room.sorted().findLast(({ seq }) => seq < Infinity);

/** Whether there is anything that can be done. */
export const possible = (room) => newest(room) !== undefined;

/** Whether the user has marked a conversation as unread, and has read nothing newer since. */
export function flagged(room) {
  const { flag } = room.place;
  return flag > 0 && possible(room) && !room.sorted().some(({ own, seq }) => own === 'read' && seq > flag);
}

/** Opens the window with the actions beside a button. */
export function open(api, { room, title }, button) {
  box.ariaLabel = `${title}: actions`;
  const unread = room.unread > 0;
  const offer = (name, offered, act) => {
    const each = box.querySelector(name);
    each.hidden = !offered;
    each.onclick = async () => {
      box.hidePopover();
      await act().catch(() => {}); // the badge says that nothing was done
      room.recount();
    };
  };
  offer('.unflag', !unread && flagged(room), () => dismiss(api, room));
  offer('.flag', !unread && !flagged(room), () => api.markUnread(newest(room).id));
  offer('.read', unread, () => room.readAll());
  offer('.dismiss', unread, () => dismiss(api, room));
  openBeside(box, button);
}

/** The user has come to a conversation: it is no longer marked as unread. What is unread in it stays so until it is seen. */
export async function visit(api, room) {
  if (room.unread > 0 || !flagged(room)) return;
  await dismiss(api, room).catch(() => {}); // the next visit tries again
  room.recount();
}

const dismiss = (api, room) => api.dismiss(room.id, last(room).id);
