// How things are called and drawn. Text gets into the page as text only, so that no message can become markup.

const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const timeFormat = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const secondFormat = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
const momentFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const dateFormat = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });

const LINK = /\bhttps?:\/\/[^\s<>"]*[^\s<>"'.,;:!?)\]]/g;

export const timeOf = (date) => timeFormat.format(date);
export const dayOf = (date) => dayFormat.format(date);

/** The time of a date today, or the day of another date. */
export const whenOf = (date) => (date.toDateString() === new Date().toDateString() ? timeFormat : dateFormat).format(date);

/** The second of a date today, or the day and minute of another date. */
const momentOf = (date) => (date.toDateString() === new Date().toDateString() ? secondFormat : momentFormat).format(date);

/** A number for a badge: beyond 1,000 nobody counts. */
export const countOf = (n) => (n > 1000 ? '1000+' : String(n));

/** Returns a copy of the one element in a template. */
export function clone(template) {
  return document.getElementById(template).content.firstElementChild.cloneNode(true);
}

/** What a user is called. One who was erased has no name. */
export const nameOf = (user) => user || 'Somebody who left';

/** Shows a name's initial in the name's own colour. */
export function drawAvatar(element, name) {
  const hue = [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
  element.style.setProperty('--hue', (hue * 47) % 360);
  element.textContent = [...(name || '?')][0].toUpperCase();
}

/** Shows a text, with links where it has addresses. */
export function drawText(element, text) {
  const parts = [];
  let from = 0;
  for (const { 0: address, index } of text.matchAll(LINK)) {
    const link = document.createElement('a');
    Object.assign(link, { href: address, textContent: address, target: '_blank', rel: 'noopener noreferrer' });
    parts.push(text.slice(from, index), link);
    from = index + address.length;
  }
  element.replaceChildren(...parts, text.slice(from));
}

/** Says what the ticks of the user's own message mean. */
export function describe({ status, delivered, read, total, readers, failed, reason, kept }) {
  if (status === 'sending') return kept === false ? 'Sending. Keep this page open, your browser has no room left' : 'Sending';
  if (status === 'failed') return `Not sent: ${reason}`;
  if (total === 1) return { sent: failed ? 'Could not be delivered' : 'Sent', delivered: 'Delivered', read: 'Read' }[status];
  if (total === 0) return read > 0 ? `Read by ${read}` : delivered > 0 ? `Delivered to ${delivered}` : 'Sent'; // for everybody
  // Of the total, only the readers may be seen to read.
  if (read > 0) return read === total ? 'Read by everyone' : `Read by ${read} of ${readers}`;
  if (delivered > 0) return delivered === total ? 'Delivered to everyone' : `Delivered to ${delivered} of ${total}`;
  return failed > 0 ? `Sent, could not reach ${failed} of ${total}` : 'Sent';
}

/** Says what became of a message for one recipient, and why nothing more will be shown. */
export function describeReceipt({ status, delivered_at, read_at, failure, reason }) {
  if (reason === 'untracked') return 'Shares nothing of what arrives or is read';
  if (failure) return `Could not be reached: ${failure}`;
  if (status === 'sent') return 'Not on a device yet';
  const when = (time) => (time ? ` ${momentOf(new Date(time))}` : ''); // that of an old message may be gone
  if (status === 'read') return `Read${when(read_at)}`;
  return `Delivered${when(delivered_at)}${reason === 'capped' ? ', hides what is read' : ''}`;
}
