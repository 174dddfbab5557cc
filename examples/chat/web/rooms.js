// The list of conversations: each with its last message, and how many are unread.

import * as actions from './actions.js';
import { clone, countOf, describe, drawAvatar, nameOf, whenOf } from './text.js';

export class Rooms {
  #panes;
  #me;
  #links = new Map();

  constructor(panes, me, api) {
    this.#panes = panes;
    this.#me = me;
    for (const pane of panes) {
      const entry = clone('conversation');
      const [link, more] = entry.children;
      more.ariaLabel = `Actions: ${pane.title}`;
      more.onclick = () => actions.open(api, pane, more);
      link.onclick = () => actions.visit(api, pane.room);
      link.href = `#${encodeURIComponent(pane.id)}`;
      link.dataset.conversationId = pane.id;
      link.querySelector('.name').textContent = pane.title;
      drawAvatar(link.querySelector('.avatar'), pane.title);
      document.getElementById('conversations').append(entry);
      this.#links.set(pane, link);
      let drawn = false; // many messages change at the same moment, and are drawn once
      const draw = () => {
        if (drawn) return;
        drawn = true;
        queueMicrotask(() => {
          drawn = false;
          this.#draw(pane);
        });
      };
      for (const name of ['message', 'removed', 'update']) pane.room.addEventListener(name, draw);
      draw();
    }
  }

  select(selected) {
    for (const [pane, link] of this.#links) {
      if (pane === selected) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
  }

  #draw({ room, members }, link = this.#links.get(this.#panes.find((pane) => pane.room === room))) {
    const last = room.sorted().at(-1);
    const own = last?.sender === this.#me;
    if (own) link.dataset.status = last.status;
    else delete link.dataset.status;
    link.querySelector('.ticks').ariaLabel = own ? describe(last) : null;
    const sender = !last || (!own && members.length === 2) ? '' : `${own ? 'You' : nameOf(last.sender)}: `;
    link.querySelector('.last').textContent = last ? sender + last.body : 'Nothing yet';
    link.querySelector('time').textContent = last ? whenOf(last.sentAt) : '';

    const badge = link.querySelector('.unread');
    const { unread } = room;
    badge.hidden = unread === 0 && !actions.flagged(room);
    badge.textContent = unread > 0 ? countOf(unread) : '';
    badge.ariaLabel = unread > 0 ? `${countOf(unread)} unread` : 'Marked as unread';
    link.nextElementSibling.hidden = !actions.possible(room);
    const all = this.#panes.reduce((sum, pane) => sum + pane.room.unread, 0);
    document.title = all > 0 ? `(${countOf(all)}) Chat` : 'Chat';
  }
}
