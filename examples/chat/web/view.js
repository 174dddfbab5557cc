// The View shows conversations and their messages. Text gets into the page by textContent only, so that no message
// can become markup.

const GROUP_PAUSE = 5 * 60_000; // ms between messages of one sender that are shown as one group

const MOST_UNREAD = 1000; // the highest number that a badge shows

const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const timeFormat = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });

// clone returns a copy of the one element in a template.
export function clone(template) {
  return document.getElementById(template).content.firstElementChild.cloneNode(true);
}

// drawAvatar shows a name's initial in the name's own colour.
export function drawAvatar(element, name) {
  const hue = [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
  element.style.setProperty('--hue', (hue * 47) % 360);
  element.textContent = name[0].toUpperCase();
}

// describe returns in words what the ticks of the user's own message mean.
export function describe({ status, delivered, read, total, reason }) {
  if (status === 'sending') return 'Sending';
  if (status === 'failed') return `Not sent: ${reason}`;
  if (total === 1) return { sent: 'Sent', delivered: 'Delivered', read: 'Read' }[status];
  if (read === total) return 'Read by everyone';
  if (read > 0) return `Read by ${read} of ${total}`;
  if (delivered === total) return 'Delivered to everyone';
  return delivered > 0 ? `Delivered to ${delivered} of ${total}` : 'Sent';
}

export class View {
  selected = null; // the conversation that the page shows
  #me;
  #panes = new Map(); // conversation → {link, log, list, seen}
  #on;

  // on has functions for what the user does: send(conversation, text), seen(conversation, message),
  // earlier(conversation), ask(message, button), for who got it, and remove(conversation, message).
  constructor(me, conversations, on) {
    this.#me = me;
    this.#on = on;
    drawAvatar(document.querySelector('.me .avatar'), me);
    for (const conversation of conversations) this.#open(conversation);
    this.#setUpComposer();
    const select = () => this.#select(conversations.find((c) => `#${c.id}` === decodeURIComponent(location.hash)) ?? conversations[0]);
    addEventListener('hashchange', select);
    addEventListener('focus', () => this.#reportSeen());
    document.addEventListener('visibilitychange', () => this.#reportSeen());
    select();
  }

  // showMessage draws or redraws a message.
  showMessage(conversation, message) {
    const { log, list, watch } = this.#panes.get(conversation);
    const following = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
    let item = list.querySelector(`[data-message-id="${CSS.escape(message.id)}"]`);
    if (!item) {
      item = clone('message');
      item.dataset.messageId = message.id;
      if (message.sender !== this.#me) watch.observe(item.querySelector('.meta'));
    }
    this.#fill(conversation, item, message);
    this.#place(list, item);
    log.querySelector('.empty').hidden = true;
    if (following) log.scrollTop = log.scrollHeight;
  }

  // forget removes the messages that a conversation no longer has.
  forget(conversation) {
    const { log, list, seen } = this.#panes.get(conversation);
    for (const item of [...list.children]) {
      const id = item.dataset.messageId;
      if (conversation.messages.has(id)) continue;
      const next = item.nextElementSibling;
      seen.delete(id);
      item.remove();
      if (next) this.#group(next);
    }
    log.querySelector('.empty').hidden = list.childElementCount > 0;
  }

  // showSynced draws what changes with a conversation as a whole.
  showSynced(conversation) {
    const { log, list } = this.#panes.get(conversation);
    log.querySelector('.earlier').hidden = !conversation.more;
    log.querySelector('.empty').hidden = list.childElementCount > 0;
    log.dataset.synced = '';
    this.showUnread(conversation);
  }

  showUnread(conversation) {
    const number = (n) => (n > MOST_UNREAD ? `${MOST_UNREAD}+` : `${n}`);
    const unread = conversation.unread();
    const badge = this.#panes.get(conversation).link.querySelector('.unread');
    badge.hidden = unread === 0;
    badge.textContent = number(unread);
    badge.ariaLabel = `${number(unread)} unread`;
    let all = 0;
    for (const each of this.#panes.keys()) all += each.unread();
    document.title = all > 0 ? `(${number(all)}) Chat` : 'Chat';
  }

  // showConnection shows in a word whether the page gets events.
  showConnection(state) {
    document.body.dataset.connection = state;
    const words = { connected: '', connecting: 'Connecting…', unavailable: 'Offline. What you write is sent later.', failed: 'No live updates' };
    document.getElementById('connection').textContent = words[state] ?? '';
  }

  #open(conversation) {
    const link = clone('conversation');
    link.href = `#${encodeURIComponent(conversation.id)}`;
    link.dataset.conversationId = conversation.id;
    link.querySelector('.name').textContent = conversation.title;
    drawAvatar(link.querySelector('.avatar'), conversation.title);
    document.getElementById('conversations').append(link);

    const log = clone('log');
    log.dataset.conversationId = conversation.id;
    log.ariaLabel = `Messages: ${conversation.title}`;
    log.querySelector('.other').textContent = conversation.members.filter((name) => name !== this.#me).join(' or ');
    log.querySelector('.earlier').onclick = () => this.#keepPlace(log, () => this.#on.earlier(conversation));
    document.getElementById('logs').append(log);

    const list = log.querySelector('ol');
    const seen = new Set(); // the ids of messages whose end is in view
    const watch = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const id = target.closest('.message').dataset.messageId;
        if (isIntersecting) seen.add(id);
        else seen.delete(id);
      }
      this.#reportSeen();
    }, { root: log });
    this.#panes.set(conversation, { link, log, list, seen, watch });
  }

  #select(conversation) {
    this.selected = conversation;
    document.getElementById('title').textContent = conversation.title;
    document.getElementById('members').textContent = conversation.members.length > 2 ? conversation.members.join(', ') : 'Only you two';
    for (const [each, { link, log }] of this.#panes) {
      log.hidden = each !== conversation;
      if (log.hidden) link.removeAttribute('aria-current');
      else link.setAttribute('aria-current', 'page');
    }
    const { log } = this.#panes.get(conversation);
    log.scrollTop = log.scrollHeight;
    if (matchMedia('(hover: hover)').matches) document.getElementById('composer').elements.body.focus(); // touch would bring up a keyboard
  }

  // reportSeen reports the last message in view, if the page is visible.
  #reportSeen() {
    if (document.visibilityState !== 'visible' || !document.hasFocus()) return;
    const conversation = this.selected;
    const messages = [...this.#panes.get(conversation).seen].map((id) => conversation.messages.get(id));
    if (messages.some((m) => m.own !== 'read')) this.#on.seen(conversation, messages.reduce((a, b) => (b.seq > a.seq ? b : a)));
  }

  #fill(conversation, item, message) {
    const own = message.sender === this.#me;
    item.classList.toggle('own', own);
    item.dataset.sender = message.sender;
    item.dataset.at = message.sentAt.getTime();
    item.dataset.seq = message.seq;
    item.querySelector('.sender').textContent = message.sender;
    item.querySelector('.body').textContent = message.body;
    drawAvatar(item.querySelector('.avatar'), message.sender);
    const time = item.querySelector('time');
    time.dateTime = message.sentAt.toISOString();
    time.textContent = timeFormat.format(message.sentAt);
    const ticks = item.querySelector('.ticks');
    ticks.hidden = !own;
    const remove = item.querySelector('.remove');
    remove.hidden = !own || message.seq === Infinity;
    if (!own) {
      item.dataset.own = message.own;
      return;
    }
    item.dataset.status = message.status;
    item.dataset.delivered = message.delivered ?? 0;
    item.dataset.read = message.read ?? 0;
    item.dataset.total = message.total ?? 0;
    const words = describe(message);
    ticks.ariaLabel = words;
    ticks.title = words;
    ticks.disabled = message.seq === Infinity;
    ticks.onclick = () => this.#on.ask(message.id, ticks);
    remove.onclick = async () => {
      remove.disabled = true;
      await this.#on.remove(conversation, message).catch(() => { remove.disabled = false; }); // the button can be pressed again
    };
    item.querySelector('.count').textContent = message.total > 1 || message.status === 'failed' ? words : '';
  }

  // place puts a message where its seq belongs; unsent ones come last, in the order they were written.
  #place(list, item) {
    const after = (a, b) => Number(a.dataset.seq) - Number(b.dataset.seq) || a.dataset.at - b.dataset.at || 0;
    let before = list.lastElementChild;
    while (before && (before === item || after(before, item) > 0)) before = before.previousElementSibling;
    const there = before ? before.nextElementSibling : list.firstElementChild;
    if (there !== item) list.insertBefore(item, there);
    this.#group(item);
    if (item.nextElementSibling) this.#group(item.nextElementSibling);
  }

  // group sets what depends on the message before: whether a new day begins, or the sender is the same.
  #group(item) {
    const at = new Date(Number(item.dataset.at));
    const previous = item.previousElementSibling?.dataset;
    const newDay = !previous || new Date(Number(previous.at)).toDateString() !== at.toDateString();
    if (newDay) item.dataset.day = dayFormat.format(at);
    else delete item.dataset.day;
    const goesOn = !newDay && previous.sender === item.dataset.sender && at - previous.at < GROUP_PAUSE;
    item.classList.toggle('goes-on', goesOn);
  }

  // keepPlace keeps the visible messages in place while messages are inserted above them.
  async #keepPlace(log, load) {
    const fromEnd = log.scrollHeight - log.scrollTop;
    await load();
    log.scrollTop = log.scrollHeight - fromEnd;
  }

  #setUpComposer() {
    const form = document.getElementById('composer');
    const text = form.elements.body;
    form.onsubmit = (event) => {
      event.preventDefault();
      const body = text.value.trim().toWellFormed();
      if (!body) return;
      text.value = '';
      this.#on.send(this.selected, body);
      const { log } = this.#panes.get(this.selected);
      log.scrollTop = log.scrollHeight;
    };
    text.onkeydown = (event) => {
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        form.requestSubmit();
      }
    };
  }
}
