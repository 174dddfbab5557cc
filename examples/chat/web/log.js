// The messages of a conversation.

import * as receipts from './receipts.js';
import { SeenBy } from './seen.js';
import { clone, countOf, dayOf, describe, drawAvatar, drawText, nameOf, timeOf } from './text.js';

const GROUP_PAUSE = 5 * 60_000; // ms between messages of one sender that are shown as one group
const AT_END = 80; // px from the end within which the page follows new messages
const MOST_LOADED = 1000; // unread messages that are loaded to open the conversation at the first

export class Log {
  /** Called with the text of a message that the user wants to write anew. */
  onedit = (body) => {};
  #room;
  #me;
  #api;
  #seen; // in groups alone
  #log = clone('log');
  #list = this.#log.querySelector('ol');
  #line = clone('line');
  #items = new Map(); // by message id
  #changed = new Set(); // ids of messages to draw
  #top = 0; // where the pane was scrolled to
  #following = true; // the end is in view, and stays there
  #below = 0; // messages that came while the user was further up
  #newest = 0; // the highest seq here
  #opened = false;

  constructor(room, me, api, { id, title, members }) {
    this.#room = room;
    this.#me = me;
    this.#api = api;
    if (members.length > 2) this.#seen = new SeenBy(api);
    const log = this.#log;
    log.dataset.conversationId = id;
    log.hidden = true;
    log.querySelector('.pane').ariaLabel = `Messages: ${title}`;
    log.querySelector('.other').textContent = members.filter((name) => name !== me).join(' or ');
    document.getElementById('logs').append(log);

    room.addEventListener('message', ({ detail }) => this.#change(detail.id));
    room.addEventListener('removed', ({ detail }) => this.#change(detail));
    room.addEventListener('update', () => this.#change());
    this.#pane.onscroll = () => this.#scrolled();
    // A growing composer and a phone's keyboard take room away: the end stays in view if it was.
    const resize = new ResizeObserver(() => this.#following && this.#follow());
    resize.observe(this.#pane);
    resize.observe(this.#list);
    log.querySelector('.earlier').onclick = () => this.#loadEarlier();
    log.querySelector('.newer').onclick = () => this.#end();
    this.#line.querySelector('button').onclick = () => room.readAll().catch(() => {}); // the button stays for another try
  }

  get #pane() {
    return this.#log.querySelector('.pane');
  }

  show(shown) {
    if (this.#log.hidden === !shown) return;
    this.#log.hidden = !shown;
    if (shown) this.#open();
  }

  send(body) {
    this.#room.send(body);
    this.#line.remove();
    this.#draw();
    this.#end();
  }

  // Shows the conversation from its first unread message on, or its end if there is none.
  async #open() {
    this.#line.remove();
    if (!this.#room.loaded) return; // its first update opens it
    this.#opened = true;
    const { firstUnread, unread } = this.#room;
    if (unread > 0 && unread <= MOST_LOADED && firstUnread && !this.#room.messages.has(firstUnread.id)) {
      await this.#room.earlier(firstUnread.seq).catch(() => {}); // the button for earlier messages is still there
    }
    this.#draw();
    const first = this.#firstUnread();
    if (!first) return this.#end();
    this.#line.dataset.seq = first.seq - 0.5;
    this.#line.querySelector('span').textContent = unread === 1 ? '1 new message' : `${countOf(unread)} new messages`;
    this.#line.querySelector('button').hidden = false;
    this.#list.insertBefore(this.#line, this.#items.get(first.id));
    this.#group(this.#items.get(first.id));
    this.#scrollTo(this.#line.offsetTop - this.#pane.clientHeight / 4);
    this.#settle();
  }

  #firstUnread() {
    return this.#room.sorted().find(({ own }) => own && own !== 'read');
  }

  // Many messages change at the same moment, and are drawn once.
  #change(id) {
    if (this.#changed.size === 0) queueMicrotask(() => this.#draw());
    this.#changed.add(id);
  }

  #draw() {
    const room = this.#room;
    const changed = [...this.#changed];
    this.#changed.clear();
    let news = 0;
    for (const id of changed) {
      const message = room.messages.get(id);
      if (message) {
        if (!this.#items.has(id) && message.own && message.seq > this.#newest) news++;
        if (message.seq < Infinity) this.#newest = Math.max(this.#newest, message.seq);
        this.#fill(message);
        receipts.refresh(id);
      } else if (this.#items.has(id)) {
        const next = this.#items.get(id).nextElementSibling;
        this.#items.get(id).remove();
        this.#items.delete(id);
        receipts.close(id);
        if (next) this.#group(next);
      }
    }
    this.#log.querySelector('.earlier').hidden = !room.more;
    this.#log.querySelector('.empty').hidden = !room.loaded || room.messages.size > 0;
    if (room.unread === 0 && this.#line.isConnected && this.#following) this.#line.querySelector('button').hidden = true;
    if (room.loaded) this.#log.dataset.synced = '';
    if (this.#log.hidden) return;
    if (room.loaded && !this.#opened) this.#open();
    else if (this.#following) this.#follow(news > 0);
    else if (news > 0 && this.#opened) this.#showBelow(this.#below + news);
  }

  // Follows to the end, but never past a message that the user has not seen. More news than have room end the following.
  #follow(news) {
    const pane = this.#pane;
    const end = pane.scrollHeight - pane.clientHeight;
    const first = this.#firstUnread();
    const item = first && this.#items.get(first.id);
    this.#scrollTo(item ? Math.min(end, Math.max(item.offsetTop - 16, pane.scrollTop)) : end);
    if (news) this.#settle();
  }

  #scrollTo(top) {
    this.#pane.scrollTop = top;
    this.#top = this.#pane.scrollTop;
  }

  #end() {
    this.#following = true;
    this.#scrollTo(this.#pane.scrollHeight);
    this.#showBelow(0);
  }

  // The user ends the following by a way up, and begins it at the end. That the end is out of view means nothing else: the
  // pane may have lost room a moment ago.
  #scrolled() {
    const up = this.#pane.scrollTop < this.#top;
    this.#top = this.#pane.scrollTop;
    if (up || this.#atEnd()) this.#settle();
  }

  #settle() {
    this.#following = this.#atEnd();
    this.#showBelow(this.#following ? 0 : this.#below);
  }

  #atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#pane;
    return scrollHeight - scrollTop - clientHeight < AT_END;
  }

  #showBelow(n) {
    this.#below = n;
    const button = this.#log.querySelector('.newer');
    button.hidden = this.#following;
    button.querySelector('span').textContent = n > 0 ? `${n} new` : '';
    button.ariaLabel = n > 0 ? `${n} new messages below` : 'To the newest message';
  }

  // The messages in view stay in place while others are inserted above them.
  async #loadEarlier() {
    const pane = this.#pane;
    const fromEnd = pane.scrollHeight - pane.scrollTop;
    await this.#room.earlier().catch(() => {}); // the button stays for another try
    this.#draw();
    this.#scrollTo(pane.scrollHeight - fromEnd);
  }

  #fill(message) {
    const { id, sender, sentAt, seq, own, status } = message;
    const mine = sender === this.#me;
    const item = this.#items.get(id) ?? clone('message');
    item.classList.toggle('own', mine);
    Object.assign(item.dataset, { messageId: id, sender, at: sentAt.getTime(), seq, turn: message.turn ?? 0 });
    item.querySelector('.sender').textContent = mine ? 'You' : nameOf(sender);
    drawAvatar(item.querySelector('.avatar'), sender);
    if (!this.#items.has(id)) drawText(item.querySelector('.body'), message.body);
    const time = item.querySelector('time');
    time.dateTime = sentAt.toISOString();
    time.textContent = timeOf(sentAt);
    this.#items.set(id, item);
    if (mine) {
      Object.assign(item.dataset, { status, delivered: message.delivered ?? 0, read: message.read ?? 0, total: message.total ?? 0 });
      this.#fillOwn(item, message);
    } else {
      item.dataset.own = own ?? '';
      this.#room.watch(item.querySelector('.meta'), id);
    }
    this.#place(item);
  }

  #fillOwn(item, message) {
    const { id, seq, status, kept } = message;
    const room = this.#room;
    const words = describe(message);
    const who = item.querySelector('.who');
    who.hidden = false;
    who.disabled = seq === Infinity;
    who.onclick = () => receipts.open(this.#api, room.messages.get(id), who);
    const inWords = this.#seen || status === 'failed' || kept === false;
    who.querySelector('.count').textContent = inWords ? words : '';
    const ticks = who.querySelector('.ticks');
    ticks.ariaLabel = words;
    ticks.ariaHidden = Boolean(inWords);
    ticks.title = words;
    this.#seen?.show(who.querySelector('.seen'), message);
    const remove = item.querySelector('.remove');
    remove.hidden = seq === Infinity;
    remove.onclick = async () => {
      remove.disabled = true;
      await room.remove(id).catch(() => {}); // the button can be pressed again
      remove.disabled = false;
    };
    item.querySelector('.refused').hidden = status !== 'failed';
    const anew = (use) => () => {
      const body = room.discard(id);
      if (body !== undefined) use(body); // another tab may have used it
    };
    item.querySelector('.again').onclick = anew((body) => room.send(body));
    item.querySelector('.edit').onclick = anew((body) => this.onedit(body));
    item.querySelector('.discard').onclick = () => room.discard(id);
  }

  // Puts a message where its seq belongs; unsent ones come last, in the order in which they were written.
  #place(item) {
    const after = (a, b) => a.dataset.seq - b.dataset.seq || a.dataset.turn - b.dataset.turn || 0;
    let before = this.#list.lastElementChild;
    while (before && (before === item || after(before, item) > 0)) before = before.previousElementSibling;
    const there = before ? before.nextElementSibling : this.#list.firstElementChild;
    if (there !== item) this.#list.insertBefore(item, there);
    this.#group(item);
    if (item.nextElementSibling) this.#group(item.nextElementSibling);
  }

  // Sets what depends on the message before: whether a new day begins, or the sender is the same.
  #group(item) {
    if (item === this.#line) return;
    const at = new Date(Number(item.dataset.at));
    const previous = item.previousElementSibling?.dataset;
    const other = previous?.at && new Date(Number(previous.at));
    const newDay = previous ? other && other.toDateString() !== at.toDateString() : true;
    if (newDay) item.dataset.day = dayOf(at);
    else delete item.dataset.day;
    item.classList.toggle('goes-on', Boolean(other) && !newDay && previous.sender === item.dataset.sender && at - other < GROUP_PAUSE);
  }
}
