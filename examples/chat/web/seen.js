// The avatars of a few who have read a message.

import { drawAvatar, nameOf } from './text.js';

const MOST = 3;

/** Draws avatars for those messages that come onto the screen. Once there are enough, it asks no more. */
export class SeenBy {
  #api;
  #ids = new WeakMap(); // element → message
  #screen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) if (isIntersecting) this.#load(target);
  });

  constructor(api) {
    this.#api = api;
  }

  /** Shows in an element who has read a message of the user's own. */
  show(element, { id, read = 0 }) {
    if (element.childElementCount >= Math.min(read, MOST)) return;
    this.#ids.set(element, id);
    this.#screen.unobserve(element); // observing anew says whether it is on the screen now
    this.#screen.observe(element);
  }

  async #load(element) {
    this.#screen.unobserve(element);
    const receipts = [];
    const fields = { status: 'read', limit: MOST };
    try {
      for (let page = { more: true }; page.more && receipts.length < MOST; fields.after = page.next) {
        page = await this.#api.receipts(this.#ids.get(element), fields);
        receipts.push(...page.receipts); // in a large group, a page may have fewer than there are
      }
    } catch {} // asked for again at the next change
    receipts.splice(MOST);
    if (receipts.length > element.childElementCount) element.replaceChildren(...receipts.map(avatarOf)); // or it is an old answer
  }
}

function avatarOf({ recipient }) {
  const avatar = document.createElement('span');
  Object.assign(avatar, { className: 'avatar', role: 'img', ariaLabel: nameOf(recipient), title: nameOf(recipient) });
  drawAvatar(avatar, recipient);
  return avatar;
}
